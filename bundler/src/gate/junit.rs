//! The report as JUnit XML: one suite per bundle, one case per check.
//!
//! JUnit has the three ways a check can end: `failure` (checked and bad), `error` (could not be checked), `skipped` (an
//! earlier check left nothing to look at).

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::GateError;
use super::report::{Check, Outcome, Report};

/// Writes the report.
///
/// # Errors
/// [`GateError::Unwritable`]; not met in memory.
pub fn write(report: &Report) -> Result<String, GateError> {
    let unwritable = |error: io::Error| GateError::Unwritable { format: "junit", reason: error.to_string() };
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    document(&mut writer, report).map_err(unwritable)?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).into_owned() + "\n")
}

fn document(writer: &mut Writer<Vec<u8>>, report: &Report) -> io::Result<()> {
    let errors = report.checks.iter().filter(|check| is_error(check)).count();
    let counts = [
        ("tests", report.checks.len().to_string()),
        ("failures", report.count(Outcome::Refused).to_string()),
        ("errors", errors.to_string()),
        ("skipped", (report.count(Outcome::Unchecked) - errors).to_string()),
    ];
    let counts: Vec<(&str, &str)> = counts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let bundle = clean(&report.bundle);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all = writer.create_element("testsuites").with_attribute(("name", "consign verify"));
    all.with_attributes(counts.iter().copied()).write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attribute(("name", bundle.as_str()));
        suite
            .with_attributes(counts.iter().copied())
            .write_inner_content(|writer| report.checks.iter().try_for_each(|check| case(writer, check)))?;
        Ok(())
    })?;
    Ok(())
}

fn is_error(check: &Check) -> bool {
    check.outcome == Outcome::Unchecked && !check.findings.is_empty()
}

fn case(writer: &mut Writer<Vec<u8>>, check: &Check) -> io::Result<()> {
    let name = clean(&check.name());
    let class = format!("consign.verify.{}", check.check.name());
    let case = writer.create_element("testcase").with_attribute(("classname", class.as_str()));
    let case = case.with_attribute(("name", name.as_str()));
    let lines = check.lines();
    let element = match check.outcome {
        Outcome::Passed => {
            case.write_inner_content(|writer| {
                text(writer, "system-out", &[], &lines)?;
                let warnings: Vec<String> =
                    check.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
                if warnings.is_empty() { Ok(()) } else { text(writer, "system-err", &[], &warnings) }
            })?;
            return Ok(());
        }
        Outcome::Refused => "failure",
        Outcome::Unchecked if is_error(check) => "error",
        Outcome::Unchecked => "skipped",
    };
    case.write_inner_content(|writer| {
        let Some(first) = check.findings.first() else {
            let why = clean(check.note.as_deref().unwrap_or_default());
            writer.create_element(element).with_attribute(("message", why.as_str())).write_empty()?;
            return Ok(());
        };
        let message = clean(&first.message);
        let hints =
            check.findings.iter().filter_map(|finding| finding.hint.as_ref()).map(|hint| format!("hint: {hint}"));
        let lines: Vec<String> = lines.iter().cloned().chain(hints).collect();
        text(writer, element, &[("type", &first.code), ("message", &message)], &lines)
    })?;
    Ok(())
}

fn text(writer: &mut Writer<Vec<u8>>, element: &str, attributes: &[(&str, &str)], lines: &[String]) -> io::Result<()> {
    let content = clean(&lines.join("\n"));
    let element = writer.create_element(element).with_attributes(attributes.iter().copied());
    element.write_text_content(BytesText::new(&content))?;
    Ok(())
}

/// XML 1.0 has no way at all to write most control characters; names come from files that nobody trusts yet.
fn clean(text: &str) -> String {
    consign_terminal::report::escape_controls(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
