//! `cargo xtask hostile`: tries everything that a hostile courier may hand to a site, and shows the table.
//!
//! The suite decides what is right; each of its rows leaves a line in a file, and this makes one table of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use crate::machine;
use crate::step::{Failed, Step, target};

/// How many rows the table has.
const ROWS: u8 = 81;

/// What a row says that this machine cannot show.
const NOT_SHOWN: &str = "NOT SHOWN";

/// Sets the machine up, runs the suite, prints the table; fails if a row differs or is not there.
pub(crate) fn run() -> Result<(), Failed> {
    machine::packages()?;
    let tools = machine::tools()?;
    Step::cargo(["build", "--workspace", "--bins"]).run()?;
    let log = target().join("hostile-table.tsv");
    // The rows of the last run would be counted again.
    if let Err(error) = fs::remove_file(&log)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failed::new(format!("cannot remove {}: {error}", log.display())));
    }
    let suite = Step::cargo(["test", "--quiet", "--package", "consign-tests", "--test", "hostile"])
        .env("PATH", tools.search_path()?)
        .env("CONSIGN_BIN_DIR", target().join("debug"))
        .env("CONSIGN_HOSTILE_TABLE", &log);
    let mut said = Vec::new();
    let succeeded = suite.lines(|line| said.push(line.to_owned()))?;
    let table = Table::parse(&fs::read_to_string(&log).unwrap_or_default());
    if !succeeded {
        println!("{}\n", said.join("\n"));
    }
    println!("\n{table}");
    match table.missing() {
        missing if !missing.is_empty() => Err(Failed::new(format!("rows without a verdict: {missing:?}"))),
        _ if table.count(NOT_SHOWN) > 0 => Err(Failed::new("rows that this machine cannot show")),
        _ if !succeeded => Err(Failed::new("not every row is as the table says")),
        _ => Ok(()),
    }
}

/// The rows, by number.
struct Table(BTreeMap<u8, [String; 4]>);

impl Table {
    /// Reads lines of five columns; a row that is there twice counts once, its last line.
    fn parse(text: &str) -> Table {
        let row = |line: &str| {
            let (number, rest) = line.split_once('\t')?;
            let mut columns = rest.splitn(4, '\t').map(str::to_owned);
            let columns = [columns.next()?, columns.next()?, columns.next()?, columns.next()?];
            Some((number.parse().ok()?, columns))
        };
        Table(text.lines().filter_map(row).collect())
    }

    fn count(&self, observed: &str) -> usize {
        self.0.values().filter(|row| row[2] == observed).count()
    }

    fn missing(&self) -> Vec<u8> {
        (1..=ROWS).filter(|number| !self.0.contains_key(number)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["the lie", "expected", "observed", "untouched, and what else was held to"].map(str::to_owned);
        let width = |column: usize| {
            let widths = self.0.values().chain([&heads]).map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        let mut line = |number: &str, row: &[String; 4]| {
            let text = format!(
                "{number:>3}  {:w0$}  {:w1$}  {:w2$}  {}",
                row[0],
                row[1],
                row[2],
                row[3],
                w0 = widths[0],
                w1 = widths[1],
                w2 = widths[2]
            );
            writeln!(f, "{}", text.trim_end())
        };
        line("row", &heads)?;
        for (number, row) in &self.0 {
            line(&number.to_string(), row)?;
        }
        let (differing, unshown) = (self.count("DIFFERS"), self.count(NOT_SHOWN));
        let shown = self.0.len() - differing - unshown;
        write!(f, "\nhostile table: {shown} rows as they must be, {differing} differ, {unshown} not shown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_table_in_order() {
        let table =
            Table::parse("2\ta flipped byte\t11\t11\tall\n1\ta lie\t10, 11\tDIFFERS\tsee\n3\tx\t\tNOT SHOWN\tlater\n");
        assert_eq!(
            table.to_string(),
            "row  the lie         expected  observed   untouched, and what else was held to\n  \
             1  a lie           10, 11    DIFFERS    see\n  \
             2  a flipped byte  11        11         all\n  \
             3  x                         NOT SHOWN  later\n\n\
             hostile table: 1 rows as they must be, 1 differ, 1 not shown"
        );
        assert_eq!(table.missing().len(), 78);
    }
}
