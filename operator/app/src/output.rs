//! Answers on standard output: a table for people, or a document for programs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde_json::Value;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// The same as YAML.
    Yaml,
}

impl Output {
    /// `document`, or the text that `table` makes.
    pub(crate) fn render(
        self,
        document: &Value,
        table: impl FnOnce() -> String,
    ) -> Result<String, Box<dyn std::error::Error>> {
        Ok(match self {
            Self::Table => table(),
            Self::Json => serde_json::to_string_pretty(document)? + "\n",
            Self::Yaml => serde_saphyr::to_string(document)?,
        })
    }
}

/// Prints an answer; `false`: nobody reads it. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> io::Result<bool> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Columns as wide as their widest cell; nothing behind the last one.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<&[String]> = rows.iter().map(<[String; N]>::as_slice).collect();
    aligned_rows(&rows)
}

/// The same for rows whose number of cells is not known beforehand; short rows end early.
pub(crate) fn aligned_rows(rows: &[&[String]]) -> String {
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "B"], ["long", "x"], ["", "y"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "A     B\nlong  x\n      y\n");
    }

    #[test]
    fn every_form_tells_the_same() {
        let document = serde_json::json!({"fleets": []});
        let told = |output: Output| output.render(&document, || "none\n".to_owned()).unwrap();
        assert_eq!(told(Output::Table), "none\n");
        assert_eq!(told(Output::Json), "{\n  \"fleets\": []\n}\n");
        assert_eq!(told(Output::Yaml), "fleets: []\n");
    }
}
