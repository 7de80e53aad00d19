//! What both command lines share around clap: parsing with our exit codes, completions, the reference page.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use consign_format::error::codes;

use crate::output::Terminal;
use crate::report::{ErrorBody, ErrorDocument};

/// Parses the command line of this process.
///
/// # Errors
/// The exit code to end with, after everything has been said: 0 for `--help` and `--version`, 2 for a wrong use.
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    C::try_parse_from(&arguments).map_err(|error| {
        if !error.use_stderr() {
            // Help that nobody reads to the end is no failure.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let json = arguments.iter().any(|argument| argument == "--json");
        let terminal = Terminal::detect(json, true);
        let (text, document) = usage(&error);
        if json {
            terminal.result(&document, "")
        } else {
            terminal.complain(&text)
        }
        ExitCode::from(document.error.exit)
    })
}

/// A usage error in our two forms. clap has already written the tip and usage lines of the text.
fn usage(error: &clap::Error) -> (String, ErrorDocument) {
    let text = error.render().to_string();
    let text = text.trim_end().trim_start_matches("error: ");
    let body = ErrorBody {
        code: codes::USAGE.name.to_owned(),
        message: text.lines().next().unwrap_or_default().to_owned(),
        causes: Vec::new(),
        hint: Some("run with --help to see what is understood".to_owned()),
        exit: codes::USAGE.exit.code(),
    };
    (format!("error[{}]: {text}", codes::USAGE), ErrorDocument { error: body })
}

/// The completion script of a program for one shell, named as it is called.
pub fn completions<C: CommandFactory>(shell: Shell) -> String {
    let mut command = C::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// A program's whole command line as one Markdown section; `docs/cli.md` is made of these.
pub fn markdown(command: &Command) -> String {
    let mut command = command.clone().term_width(100).disable_colored_help(true);
    command.build();
    let mut text = String::new();
    describe(&mut command, 2, &mut text);
    text
}

fn describe(command: &mut Command, level: usize, text: &mut String) {
    // build() has put the full path, such as `consign keys new`, into the display name's usage.
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    // What this machine's environment says is no part of a reference.
    *command = std::mem::take(command).mut_args(|argument| argument.hide_env_values(true));
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("{} {name}\n\n```text\n{}\n```\n\n", "#".repeat(level), help.join("\n").trim()));
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(sub) = command.find_subcommand_mut(&name) {
            describe(sub, level + 1, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Subcommand;

    /// Packs.
    #[derive(Debug, Parser)]
    #[command(name = "consign")]
    struct Cli {
        #[command(subcommand)]
        command: Verb,
    }

    #[derive(Debug, Subcommand)]
    enum Verb {
        /// Makes keys.
        Keys {
            #[command(subcommand)]
            command: Key,
        },
    }

    #[derive(Debug, Subcommand)]
    enum Key {
        /// Makes one.
        New {
            /// Where it goes.
            #[arg(long)]
            out: String,
        },
    }

    #[test]
    fn the_reference_page_has_every_command_by_its_full_name() {
        let page = markdown(&Cli::command());
        for heading in ["## consign\n", "### consign keys\n", "#### consign keys new\n"] {
            assert!(page.contains(heading), "{heading} in {page}");
        }
        assert!(page.contains("Where it goes"));
        assert!(!page.contains("## consign help"));
        assert!(!page.contains(" \n"), "no trailing blanks");
    }

    #[test]
    fn a_wrong_use_is_an_error_like_any_other() {
        let error = Cli::try_parse_from(["consign", "keys", "new"]).unwrap_err();
        let (text, document) = usage(&error);
        assert!(text.starts_with("error[usage]: the following required arguments"), "{text}");
        assert_eq!(document.error.message, "the following required arguments were not provided:");
        assert_eq!(document.error.exit, 2);
    }

    #[test]
    fn completions_name_the_program() {
        assert!(completions::<Cli>(Shell::Bash).contains("_consign()"));
    }
}
