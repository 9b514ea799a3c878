//! What is said in return to a command: plain sentences, and lists as lines of less than 300 bytes, so that they read
//! well where there is no formatting. Pure. No line begins as a command does, so that no other Sameroom in the room
//! takes it for one; and nothing that somebody typed is repeated unless it is a plain word.

use std::time::Duration;

use sameroom_model::{Room, RoomOptions};
use sameroom_text::names;

use super::parse::{CHOICES, Choice, Mistake};
use super::rules::Who;

/// The longest line, in bytes; lists are broken before.
pub(super) const LINE_MAX: usize = 280;
/// How many rooms a list names.
pub(super) const LISTED_MAX: usize = 10;
/// The longest name of a room or site shown, in graphemes.
const NAME_MAX: usize = 48;

pub(super) const SWITCHED_OFF: &str = "Commands are switched off here. Ask whoever runs this Sameroom.";
pub(super) const NOT_CONNECTED: &str = "This room is not connected with any other.";
pub(super) const UNKNOWN_CODE: &str =
    "That code is not valid: it is mistyped, used, or older than two minutes. Ask for a new one in the other room.";
pub(super) const OWN_CODE: &str = "That code is of this very room. Give it in the room to be connected with this one.";
pub(super) const TOO_MANY_GUESSES: &str = "Too many codes were tried. Wait a minute, then try again.";
pub(super) const TOO_MANY_COMMANDS: &str =
    "That is more than is answered in a minute. Wait a minute, then ask again; until then nothing is said.";
pub(super) const TOO_MANY_PINGS: &str = "This room was just asked for pings. Wait a minute, then try again.";

pub(super) fn help() -> Vec<String> {
    [
        "Write -sameroom or @sameroom, and then one of these. Neither they nor the answers leave this room.",
        "help: this list",
        "ping: every connected room answers with its name and the time it took",
        "map: the rooms that are connected with this one",
        "open: a code, valid for two minutes, by which another room is connected with this one",
        "connect CODE, or connect PORTAL-URL: connects this room with the one that the code or Portal is of",
        "portal: this room's Portal, a lasting URL by which others connect rooms of theirs with this one",
        "format: how messages from elsewhere are shown here; format OPTION VALUE sets it",
        "disable: disconnects this room from every other",
        "A message that begins with ^^^ stays in this room, too.",
    ]
    .map(str::to_owned)
    .into()
}

pub(super) fn mistake(mistake: &Mistake) -> Vec<String> {
    let line = match mistake {
        Mistake::Unknown { said, nearest: Some(name) } => {
            format!("{} Did you mean {name}? To see all commands, ask for help.", no("command", said))
        }
        Mistake::Unknown { said, nearest: None } => {
            format!("{} To see all commands, ask for help.", no("command", said))
        }
        Mistake::TooMany(name) => {
            format!("{name} takes nothing after it. Write {name} alone, or ask for help.")
        }
        Mistake::NoKey => {
            "connect needs a code or a Portal's URL, for example: connect KP4T-9XQM. To get a code, write \
                           open in the other room."
                .to_owned()
        }
        Mistake::NotAKey => {
            "That is neither a code nor a Portal's URL. A code looks like KP4T-9XQM; to get one, write \
                             open in the other room."
                .to_owned()
        }
        Mistake::NoOption { said, nearest } => {
            let names: Vec<&str> = CHOICES.iter().map(|choice| choice.name).collect();
            let meant = nearest.map(|name| format!(" Did you mean {name}?")).unwrap_or_default();
            format!("{}{meant} There are {}.", no("option", said), list(&names))
        }
        Mistake::NoValue(choice) => {
            let (name, values) = (choice.name, either(choice));
            format!("{name} can be {values}, for example: format {name} {}", choice.values[0])
        }
    };
    vec![line]
}

pub(super) fn refusal(who: &Who, ask: Option<&str>) -> String {
    match (who, ask) {
        (_, Some(ask)) => format!("You may not do that here. Ask {}.", names::clean(ask, 2 * NAME_MAX)),
        (Who::Users(users), None) if !users.is_empty() => {
            let shown: Vec<String> = users.iter().take(5).map(|user| names::clean(user, NAME_MAX)).collect();
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            format!("You may not do that here. Ask one of those who may: {}.", shown.join(", "))
        }
        _ => "That can't be done by command here. Ask whoever runs this Sameroom.".to_owned(),
    }
}

pub(super) fn disabled(closed: usize) -> String {
    match closed {
        0 => NOT_CONNECTED.to_owned(),
        1 => "Done: this room's only Tube is removed, and the other side was told.".to_owned(),
        n => format!("Done: all {n} Tubes of this room are removed, and the other sides were told."),
    }
}

pub(super) fn opened(code: &str) -> Vec<String> {
    let (a, b) = code.split_at(code.len() / 2);
    vec![format!("The code is {a}-{b}. For the next two minutes, write in the other room: connect {a}-{b}")]
}

/// A room as people know it.
pub(super) fn place(name: &str, site: &str) -> String {
    let (name, site) = (names::clean(name, NAME_MAX), names::clean(site, NAME_MAX));
    if site.is_empty() { name } else { format!("{name} on {site}") }
}

pub(super) fn place_of(room: &Room) -> String {
    place(&room.name, &room.site)
}

/// `intro: a, b, c, and 3 more.` in lines that are not too long.
pub(super) fn listing(intro: &str, items: &[String]) -> Vec<String> {
    let more = items.len().saturating_sub(LISTED_MAX);
    let mut lines = vec![format!("{intro}:")];
    for (i, item) in items.iter().take(LISTED_MAX).enumerate() {
        let end = if i + 1 < items.len() { "," } else { "." };
        let item = format!("{item}{end}");
        match lines.last_mut() {
            Some(line) if line.len() + item.len() < LINE_MAX => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.push(item),
        }
    }
    if more > 0 {
        let item = format!("and {more} more.");
        match lines.last_mut() {
            Some(line) if line.len() + item.len() < LINE_MAX => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.push(item),
        }
    }
    lines
}

pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// `12 ms`, `1.3 s`.
pub(super) fn time(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

pub(super) fn options(options: RoomOptions) -> Vec<String> {
    let mut lines =
        vec!["How messages from elsewhere are shown here. To set one, write format OPTION VALUE.".to_owned()];
    lines.extend(CHOICES.iter().map(|choice| {
        let now = value(options, choice.name);
        format!("{}: {now} (it can be {})", choice.name, either(choice))
    }));
    lines
}

pub(super) fn set(options: RoomOptions, name: &str) -> String {
    format!("Done: {name} is {} in this room now.", value(options, name))
}

fn value(options: RoomOptions, name: &str) -> String {
    let switch = |on: bool| serde_json::Value::from(if on { "on" } else { "off" });
    let value = match name {
        "team" => Ok(switch(options.team)),
        "system" => Ok(switch(options.system)),
        "author" => serde_json::to_value(options.author),
        "direction" => serde_json::to_value(options.direction),
        "edits" => serde_json::to_value(options.edits),
        _ => serde_json::to_value(options.replies),
    };
    value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn either(choice: &Choice) -> String {
    match choice.values {
        [init @ .., last] if !init.is_empty() => format!("{} or {last}", init.join(", ")),
        values => values.join(", "),
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [init @ .., last] if !init.is_empty() => format!("{} and {last}", init.join(", ")),
        names => names.join(", "),
    }
}

/// `There is no command "hlep".`, or without the word where that is no plain one.
fn no(what: &str, said: &str) -> String {
    let plain = said.len() <= 20 && said.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain { format!("There is no {what} \"{said}\".") } else { format!("There is no such {what}.") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    fn sound(lines: &[String]) {
        for line in lines {
            assert!(line.len() < 300, "{} bytes: {line}", line.len());
            assert!(!line.starts_with(['-', '@', '–', '—']) && !line.contains(['\n', '\r']), "{line}");
        }
    }

    #[test]
    fn wrong_input_gets_a_sentence() {
        let unknown = |said: &str, nearest| mistake(&Mistake::Unknown { said: said.to_owned(), nearest }).concat();
        insta::assert_snapshot!(unknown("hlep", Some("help")), @r#"There is no command "hlep". Did you mean help? To see all commands, ask for help."#);
        insta::assert_snapshot!(unknown("@everyone", None), @"There is no such command. To see all commands, ask for help.");
        insta::assert_snapshot!(mistake(&Mistake::NoValue(&CHOICES[0])).concat(), @"author can be name, username or both, for example: format author name");
        let no_option = Mistake::NoOption { said: "colour".to_owned(), nearest: None };
        insta::assert_snapshot!(mistake(&no_option).concat(), @r#"There is no option "colour". There are author, team, system, direction, edits and replies."#);
    }

    #[test]
    fn the_list_names_every_command() {
        let help = help();
        sound(&help);
        for name in parse::NAMES {
            assert!(help.iter().any(|line| line.starts_with(name)), "{name}");
        }
        sound(&options(RoomOptions::default()));
        insta::assert_snapshot!(options(RoomOptions::default()).join("\n"), @r"
        How messages from elsewhere are shown here. To set one, write format OPTION VALUE.
        author: name (it can be name, username or both)
        team: off (it can be on or off)
        system: off (it can be on or off)
        direction: both (it can be both, not-out or not-in)
        edits: correction (it can be correction or ignore)
        replies: quote (it can be quote or plain)
        ");
    }

    #[test]
    fn refusals_say_whom_to_ask() {
        let some = Who::Users(vec!["ann".to_owned(), "bob".to_owned()]);
        assert_eq!(refusal(&some, None), "You may not do that here. Ask one of those who may: ann, bob.");
        assert_eq!(refusal(&Who::Nobody, Some("ops@example.org")), "You may not do that here. Ask ops@example.org.");
        assert_eq!(refusal(&Who::Nobody, None), "That can't be done by command here. Ask whoever runs this Sameroom.");
    }

    proptest! {
        #[test]
        fn lists_are_of_short_lines(items in proptest::collection::vec(("\\PC{0,90}", "\\PC{0,90}"), 1..30)) {
            let items: Vec<String> = items.iter().map(|(name, site)| place(name, site)).collect();
            let lines = listing("This room is connected with so many rooms", &items);
            prop_assert!(lines.iter().all(|line| line.chars().count() < 300));
            prop_assert!(lines.last().is_some_and(|line| line.ends_with('.')));
        }
    }
}
