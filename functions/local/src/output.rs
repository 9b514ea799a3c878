//! How the command line speaks: tables for people, JSON for programs, colours only on a terminal.

use std::io::IsTerminal as _;

/// Whether standard output may carry colours.
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The word before an error.
pub(crate) fn error_word() -> &'static str {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        "\x1b[1;31merror:\x1b[0m"
    } else {
        "error:"
    }
}

/// Bold on a terminal.
pub(crate) fn bold(text: &str) -> String {
    if colours() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Dimmed on a terminal.
pub(crate) fn dim(text: &str) -> String {
    if colours() { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}

/// Green on a terminal.
pub(crate) fn good(text: &str) -> String {
    if colours() { format!("\x1b[32m{text}\x1b[0m") } else { text.to_owned() }
}

/// Red on a terminal.
pub(crate) fn bad(text: &str) -> String {
    if colours() { format!("\x1b[31m{text}\x1b[0m") } else { text.to_owned() }
}

/// A table with a heading row, its columns as wide as they need to be.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain([heading[i].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![bold(&line(heading.to_vec()))];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// Prints a value as JSON.
pub(crate) fn json(value: &serde_json::Value) {
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}
