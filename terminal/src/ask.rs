//! Asking the person at the terminal, where there is one. A script is never asked: it gets `None` and must say what it
//! means by an option.

use std::io::{self, BufRead, IsTerminal};

use crate::output::Terminal;

/// No answer is longer.
const LIMIT: u64 = 4096;

impl Terminal {
    /// Asks for one line, on standard error, and reads it from standard input. `None` where nobody is there: either
    /// stream is no terminal, or the answer is to be JSON. The end of input is an empty answer.
    ///
    /// # Errors
    /// Standard input's.
    pub fn ask(&self, question: &str) -> io::Result<Option<String>> {
        if self.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        self.complain(question);
        let mut answer = String::new();
        io::Read::take(io::stdin().lock(), LIMIT).read_line(&mut answer)?;
        Ok(Some(answer.trim().to_owned()))
    }
}
