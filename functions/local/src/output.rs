//! How the command line speaks: tables for people, JSON for programs, colours only on a terminal.

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

/// Prints a line. Whoever reads may have gone (`sameroom platforms | head -1`); that is no reason to fail.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::output::line(&mut std::io::stdout().lock(), format_args!($($arg)*))
    };
}

/// Likewise to standard error.
macro_rules! tell {
    ($($arg:tt)*) => {
        $crate::output::line(&mut std::io::stderr().lock(), format_args!($($arg)*))
    };
}

/// Writes a line, if anybody takes it.
pub(crate) fn line(out: &mut impl Write, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints what somebody keeps: that it was not written whole is told.
pub(crate) fn document(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// Whether standard output may carry colours.
fn colours() -> bool {
    std::io::stdout().is_terminal() && !plain()
}

/// Whether colours are not wanted (<https://no-color.org>: a variable that is set and not empty).
fn plain() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Likewise of standard error.
pub(crate) fn colours_told() -> bool {
    std::io::stderr().is_terminal() && !plain()
}

/// The word before an error, on standard error.
pub(crate) fn error_word() -> String {
    paint(colours_told(), "1;31", "error:")
}

/// How this program was called, so that a line to try can be typed as it stands.
pub(crate) fn myself() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "sameroom".to_owned());
    let here = std::env::current_dir().ok().and_then(|here| Some(format!("{}/", here.to_str()?)));
    here.and_then(|here| called.strip_prefix(&here).map(str::to_owned)).unwrap_or(called)
}

/// Bold on a terminal.
pub(crate) fn bold(text: &str) -> String {
    paint(colours(), "1", text)
}

/// Dimmed on a terminal.
pub(crate) fn dim(text: &str) -> String {
    paint(colours(), "2", text)
}

/// `✓` or `✗`, for standard output.
pub(crate) fn mark(ok: bool) -> String {
    if ok { paint(colours(), "32", "✓") } else { paint(colours(), "31", "✗") }
}

/// `✓`, or another sign that something is not well, for standard error.
pub(crate) fn mark_told(ok: bool, sign: &str) -> String {
    paint(colours_told(), if ok { "32" } else { "31" }, sign)
}

fn paint(on: bool, code: &str, text: &str) -> String {
    if on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
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

/// Waits for something, and says so on a terminal once it takes longer than a second.
pub(crate) async fn patiently<T>(doing: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(Duration::from_secs(1)) => drop(write!(std::io::stderr(), "{doing} …")),
    }
    let done = work.await;
    // Back to the line's start, and clear it.
    let _ = write!(std::io::stderr(), "\r\x1b[K");
    done
}

/// Prints a value as JSON.
pub(crate) fn json(value: &serde_json::Value) {
    say!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}
