//! Mass mentions are made harmless here. It must not know any dialect: it looks at characters alone, so that it holds
//! whatever a platform's parser makes of them.

/// Names after an `@` that call everybody on some platform (Slack, Discord, Mattermost, Rocket.Chat, Zulip, Matrix).
const MASS: [&str; 7] = ["everyone", "here", "channel", "all", "room", "stream", "topic"];

/// How many characters decide whether a name is one of them: marks, the longest name and what ends it.
const AHEAD: usize = 16;

/// What is put after the `@`.
pub(crate) const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Makes mass mentions harmless: a zero-width space (U+200B) is put between the `@` and the name of each, and after
/// the `<` of Slack's `<!here>`. Case does not matter, and emphasis marks before the name (`@**all**`) are seen
/// through. A name that only begins like one (`@allison`) is left alone, and so is a mail address (`me@all.example`).
pub fn neutralise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for (at, c) in text.char_indices() {
        out.push(c);
        let rest = &text[at + c.len_utf8()..];
        let alive = match c {
            '@' => starts_mass(rest) && !is_address(before, rest),
            '<' => rest.starts_with('!'),
            _ => false,
        };
        if alive {
            out.push(ZERO_WIDTH_SPACE);
        }
        before = Some(c);
    }
    out
}

/// Whether the text begins with a name that means everybody, or with emphasis marks and such a name.
pub(crate) fn starts_mass(text: &str) -> bool {
    // Zulip writes `@**all**` and the silent `@_**all**`; no platform has more marks than that.
    let marks = text.bytes().take(4).take_while(|b| matches!(b, b'*' | b'_')).count();
    let name = &text[marks..];
    MASS.iter().any(|mass| {
        name.get(..mass.len()).is_some_and(|head| head.eq_ignore_ascii_case(mass))
            && !name[mass.len()..].starts_with(|c: char| c.is_alphanumeric())
    })
}

/// Drops zero-width spaces, except where [`neutralise`] puts them: there they keep a mention dead. One behind an `@` at
/// the end stays where the name comes right after the text.
pub(crate) fn strip_zero_width(text: &str, name_follows: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != ZERO_WIDTH_SPACE {
            out.push(c);
            continue;
        }
        let keep = match out.chars().next_back() {
            Some('@') => {
                let ahead: String = chars.clone().filter(|c| *c != ZERO_WIDTH_SPACE).take(AHEAD).collect();
                if ahead.is_empty() { name_follows } else { starts_mass(&ahead) }
            }
            Some('<') => chars.clone().find(|c| *c != ZERO_WIDTH_SPACE) == Some('!'),
            _ => false,
        };
        if keep {
            out.push(c);
        }
    }
    out
}

/// A URL with the `@` of would-be mass mentions percent-encoded, which means the same to whoever opens it.
pub(crate) fn neutral_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for (at, c) in url.char_indices() {
        if c == '@' && !url.starts_with("mailto:") && starts_mass(&url[at + 1..]) {
            out.push_str("%40");
        } else {
            out.push(c);
        }
    }
    out
}

fn is_address(before: Option<char>, rest: &str) -> bool {
    let local = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'));
    let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    local && after.strip_prefix('.').is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mass_mentions_die() {
        for (alive, dead) in [
            ("@here", "@\u{200b}here"),
            ("hi @Everyone!", "hi @\u{200b}Everyone!"),
            ("@@all", "@@\u{200b}all"),
            ("(@channel)", "(@\u{200b}channel)"),
            ("@**all**", "@\u{200b}**all**"),
            ("<!here> <!subteam^S1>", "<\u{200b}!here> <\u{200b}!subteam^S1>"),
            ("x@room", "x@\u{200b}room"),
            ("@all.", "@\u{200b}all."),
            ("@here_", "@\u{200b}here_"),
        ] {
            assert_eq!(neutralise(alive), dead);
            assert_eq!(neutralise(dead), dead, "doing it twice changes nothing");
        }
    }

    #[test]
    fn others_live() {
        for text in ["@allison", "me@all.example", "@ here", "@bob", "everyone", "@roommate", "1 < !x"] {
            assert_eq!(neutralise(text), text);
        }
    }
}
