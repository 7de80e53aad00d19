//! What the registry counts, in Prometheus' text format (version 0.0.4).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// The media type of the format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters since the start, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 6],
    /// Bytes of bodies that were sent.
    sent: AtomicU64,
    /// Answers that ended before their end: the client left, was cut, or the file was not what it was.
    cut: AtomicU64,
    /// Connections that were not taken.
    refused: AtomicU64,
    connections: AtomicU64,
}

impl Metrics {
    /// An answer is about to be sent.
    pub(super) fn answered(&self, status: u16) {
        if let Some(count) = self.answers.get(usize::from(status / 100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has ended.
    pub(super) fn ended(&self, sent: u64, whole: bool) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.cut.fetch_add(u64::from(!whole), Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection as long as the guard lives.
    pub(super) fn connection(&self) -> Open<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Open(self)
    }

    /// Everything, as a scrape sees it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, rows: &[(&str, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let labels = ["", "", r#"{status="2xx"}"#, r#"{status="3xx"}"#, r#"{status="4xx"}"#, r#"{status="5xx"}"#];
        let answers: Vec<_> =
            labels.into_iter().zip(&self.answers).skip(2).map(|(l, count)| (l, read(count))).collect();
        family("consign_registry_answers_total", "counter", "Answers by status.", &answers);
        let sent = "Bytes of bodies sent.";
        family("consign_registry_sent_bytes_total", "counter", sent, &[("", read(&self.sent))]);
        let cut = "Answers that ended before their last byte.";
        family("consign_registry_cut_total", "counter", cut, &[("", read(&self.cut))]);
        let refused = "Connections not taken: no handshake, or too many from one address.";
        family("consign_registry_refused_total", "counter", refused, &[("", read(&self.refused))]);
        family("consign_registry_connections", "gauge", "Connections open now.", &[("", read(&self.connections))]);
        text
    }
}

/// A connection that is open.
pub(super) struct Open<'a>(&'a Metrics);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted() {
        let metrics = Metrics::default();
        let open = metrics.connection();
        for (status, sent, whole) in [(200, 10, true), (206, 5, false), (404, 0, true)] {
            metrics.answered(status);
            metrics.ended(sent, whole);
        }
        metrics.refused();
        let text = metrics.text();
        for line in [
            "# TYPE consign_registry_answers_total counter",
            r#"consign_registry_answers_total{status="2xx"} 2"#,
            r#"consign_registry_answers_total{status="4xx"} 1"#,
            r#"consign_registry_answers_total{status="5xx"} 0"#,
            "consign_registry_sent_bytes_total 15",
            "consign_registry_cut_total 1",
            "consign_registry_refused_total 1",
            "consign_registry_connections 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(open);
        assert!(metrics.text().contains("consign_registry_connections 0"));
    }
}
