//! What the handoff does, told as progress.

use consign_terminal::{Amount, Progress};

use crate::handoff::{Action, Event};

/// Turns the events of a handoff into phases and notes.
pub(super) fn teller(progress: &dyn Progress) -> impl FnMut(Event) + Send + '_ {
    let (mut waiting, mut pulling) = (false, false);
    let mut said = Vec::new();
    move |event| match event {
        Event::Checked { done, total } => {
            if done <= 1 {
                progress.phase("checking", Amount::Items(total as u64));
            }
            progress.advance(1);
        }
        Event::Pulled { node, said, nodes } => {
            if !std::mem::replace(&mut pulling, true) {
                progress.phase("pulling on the nodes", Amount::Items(nodes as u64));
            }
            progress.advance(1);
            progress.note(&format!("node {node} {said}"));
        }
        Event::Stage { name, wave, objects } => {
            waiting = false;
            let wave = if wave == 0 { String::new() } else { format!(", wave {wave}") };
            progress.phase(&format!("applying {name}{wave}"), Amount::Items(objects as u64));
        }
        Event::Object(entry) => {
            progress.advance(1);
            if entry.action != Action::Unchanged {
                progress.note(&entry.to_string());
            }
        }
        Event::Waiting { ready, total, reasons } => {
            if !waiting {
                progress.phase("waiting", Amount::Items(total as u64));
                waiting = true;
            }
            if reasons != said {
                progress.note(&format!("{ready} of {total} healthy; {}", reasons.join("; ")));
                said = reasons;
            }
        }
        Event::Note(text) => progress.note(&text),
    }
}
