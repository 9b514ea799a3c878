//! How the commands show what they got, and ask what they need: cells of tables, times, questions on the terminal. What
//! others named is shown without what could move the cursor.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use jiff::{SignedDuration, Timestamp};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sameroom_embedded::SystemClock;
use sameroom_engine::ports::Clock as _;
use serde_json::Value;

use super::problem::Failure;
use crate::output;

/// A field as text; nothing where there is none.
pub(crate) fn text(of: &Value, field: &str) -> String {
    match &of[field] {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

/// A field that is a time, in UTC, to the minute.
pub(crate) fn time(of: &Value, field: &str) -> String {
    let text = text(of, field);
    text.get(..16).map_or_else(String::new, |minute| minute.replace('T', " "))
}

/// A room's name and where it is.
pub(crate) fn place(of: &Value) -> String {
    let (name, site) = (text(of, "name"), text(of, "site"));
    if site.is_empty() { name } else { format!("{name} on {site}") }
}

/// So many things.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// Prints a table of a list, or says that it is empty and what to do.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>], empty: &str) {
    if rows.is_empty() {
        say!("{empty}");
    } else {
        say!("{}", output::table(heading, rows));
    }
}

/// Prints one thing, a field on each line; those without a value are left out.
pub(crate) fn fields(fields: &[(&str, String)]) {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 1;
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        say!("{:<width$} {value}", format!("{name}:"));
    }
}

/// Text without control characters and without those that turn the line's direction.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// A time to come, as the API takes it: a time from now like `7d`, or a date and time.
pub(crate) fn expiry(text: &str) -> Result<String, Failure> {
    let wrong = || {
        Failure::refused(format!(
            "'{text}' is not a time; write a time from now like 30m, 12h or 7d, or a date and time like \
             2030-01-31T12:00:00Z"
        ))
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.to_string());
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let n: i64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let span = n.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    let at = SystemClock.now().checked_add(SignedDuration::from_secs(span)).map_err(|_| wrong())?;
    // Fractions of a second are nobody's intention.
    Ok(Timestamp::from_second(at.as_second()).unwrap_or(at).to_string())
}

/// Asks whether to go on, unless that was said already.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(format!("{question} Say so by --yes.")));
    }
    let answer = ask(&format!("{question} [y/N]"), false).map_err(|e| Failure::other(format!("{e:#}")))?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::refused("nothing was done"))
}

/// Asks for a line on the terminal; a secret is not shown while it is typed.
pub(crate) fn ask(label: &str, secret: bool) -> anyhow::Result<String> {
    let _ = write!(std::io::stderr(), "{label}: ");
    let stdin = std::io::stdin();
    let before = if secret { tcgetattr(&stdin).ok() } else { None };
    if let Some(before) = &before {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if let Some(before) = &before {
        tcsetattr(&stdin, OptionalActions::Now, before)?;
    }
    if read? == 0 {
        anyhow::bail!("nothing more was typed");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_now_and_dates_are_understood() {
        for good in ["30m", "12h", "7d", "2w", "2030-01-31T12:00:00Z"] {
            assert!(expiry(good).is_ok_and(|at| at.ends_with('Z')), "{good}");
        }
        for bad in ["", "7", "d", "0d", "7 days", "-1d", "99999999999999999d", "tomorrow"] {
            assert_eq!(expiry(bad).map_err(|e| e.code), Err(6), "{bad}");
        }
    }

    #[test]
    fn what_others_named_moves_no_cursor() {
        assert_eq!(plain("a\x1b[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
