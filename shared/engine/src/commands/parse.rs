//! What somebody in a room asks of Sameroom, read from the words of a message. Pure: it must not know rooms, rules or
//! stores. Whoever writes `-sameroom` or `@sameroom` first means us, whatever follows; whoever speaks to our own account
//! by its name may mean a person or a joke, so there only what is a command to the letter is taken for one.

use sameroom_model::{AuthorStyle, Block, Direction, EditStyle, Identity, Inline, MentionKind, ReplyStyle, Text};

/// The longest word that a command takes, in bytes: a Portal's URL fits well.
const WORD_MAX: usize = 512;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Ping,
    Map,
    Open,
    Connect(Key),
    Portal,
    Format(Format),
    Disable,
}

/// What a room is connected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A code, as [`normal_code`] makes it.
    Code(String),
    /// A Portal's token.
    Portal(String),
}

/// What is asked of a room's posting options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Show,
    Author(AuthorStyle),
    Team(bool),
    System(bool),
    Direction(Direction),
    Edits(EditStyle),
    Replies(ReplyStyle),
}

/// Why what is asked can't be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// No such command; with the nearest one, if any is near.
    Unknown { said: String, nearest: Option<&'static str> },
    /// Words after a command that takes none.
    TooMany(&'static str),
    /// `connect` alone.
    NoKey,
    /// `connect` with what is neither a code nor a Portal.
    NotAKey,
    /// No such option.
    NoOption { said: String, nearest: Option<&'static str> },
    /// An option without a value, or with one that it does not take.
    NoValue(&'static Choice),
}

/// An option of `format` and what it takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [&'static str],
}

/// The options of `format`.
pub(crate) const CHOICES: [Choice; 6] = [
    Choice { name: "author", values: &["name", "username", "both"] },
    Choice { name: "team", values: &["on", "off"] },
    Choice { name: "system", values: &["on", "off"] },
    Choice { name: "direction", values: &["both", "not-out", "not-in"] },
    Choice { name: "edits", values: &["correction", "ignore"] },
    Choice { name: "replies", values: &["quote", "plain"] },
];

/// Every command's name, in the order in which `help` lists them.
pub(crate) const NAMES: [&str; 8] = ["help", "ping", "map", "open", "connect", "portal", "format", "disable"];

/// What a message asks of us. `None`: nothing; it is for people.
pub(crate) fn read(body: &Text, us: &Identity) -> Option<Result<Command, Mistake>> {
    let Some(Block::Paragraph(inlines)) = body.blocks.first() else { return None };
    let (rest, sure) = spoken_to(inlines, us)?;
    let words: Vec<&str> = rest.lines().next().unwrap_or_default().split_whitespace().collect();
    let asked = command(&words);
    match asked {
        Ok(_) => Some(asked),
        Err(Mistake::Unknown { .. } | Mistake::TooMany(_)) if !sure => None,
        Err(_) => Some(asked),
    }
}

/// A code as it is kept: upper case, without dashes. `None`: it is none.
pub(crate) fn normal_code(said: &str) -> Option<String> {
    let code: String = said.chars().filter(|c| !matches!(c, '-' | '–' | '—')).map(|c| c.to_ascii_uppercase()).collect();
    (code.len() == CODE_LENGTH && code.bytes().all(|b| CODE_LETTERS.contains(&b))).then_some(code)
}

/// What codes are made of: 32 letters and digits that are not taken for one another, so 5 bits each.
pub(crate) const CODE_LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// How many of them a code has.
pub(crate) const CODE_LENGTH: usize = 8;

/// What follows the words that speak to us, and whether they can mean nobody else.
fn spoken_to(inlines: &[Inline], us: &Identity) -> Option<(String, bool)> {
    let mut at = 0;
    while let Some(Inline::Text(text)) = inlines.get(at)
        && text.trim().is_empty()
    {
        at += 1;
    }
    let rest = |inlines: &[Inline]| Text { blocks: vec![Block::Paragraph(inlines.to_vec())] }.words();
    match inlines.get(at)? {
        Inline::Mention(mention) => {
            let ours = match &mention.kind {
                MentionKind::User(key) => us.key.as_ref() == Some(key),
                _ => false,
            };
            let sure = mention.label.trim_start_matches('@').eq_ignore_ascii_case(NAME);
            let rest = rest(&inlines[at + 1..]);
            let rest = rest.trim_start_matches([':', ',']).to_owned();
            (ours || sure).then_some((rest, sure))
        }
        // Words in monospace are a quotation: somebody explains how it is done.
        Inline::Code(_) | Inline::Emoji(_) | Inline::Link { .. } | Inline::Break => None,
        Inline::Text(_) | Inline::Strong(_) | Inline::Emphasis(_) | Inline::Struck(_) => {
            let words = rest(&inlines[at..]);
            let words = words.trim_start();
            if let Some(rest) = after_sigil(words) {
                return Some((rest.to_owned(), true));
            }
            after_name(words, &us.name).map(|rest| (rest.to_owned(), false))
        }
    }
}

/// What we are called everywhere.
const NAME: &str = "sameroom";

/// What follows `-sameroom` or `@sameroom`. Some keyboards turn one dash, or two, into a longer one.
fn after_sigil(words: &str) -> Option<&str> {
    let rest = words.strip_prefix("--").or_else(|| words.strip_prefix(['-', '@', '–', '—', '−']))?;
    let (name, rest) = rest.split_at_checked(NAME.len())?;
    let over = rest.chars().next().is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@')));
    (name.eq_ignore_ascii_case(NAME) && over).then(|| rest.trim_start_matches([':', ',']))
}

/// What follows our own name as people on IRC speak to somebody: `name: words`.
fn after_name<'a>(words: &'a str, name: &str) -> Option<&'a str> {
    let (said, rest) = words.split_at_checked(name.len())?;
    let rest = rest.strip_prefix([':', ','])?;
    (!name.is_empty() && said.eq_ignore_ascii_case(name) && !rest.trim().is_empty()).then_some(rest)
}

fn command(words: &[&str]) -> Result<Command, Mistake> {
    let Some((first, rest)) = words.split_first() else { return Ok(Command::Help) };
    let Some(name) = NAMES.into_iter().find(|name| first.eq_ignore_ascii_case(name)) else {
        return Err(Mistake::Unknown { said: (*first).to_owned(), nearest: nearest(first, NAMES) });
    };
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(Mistake::TooMany(name)) };
    match name {
        "help" => Ok(Command::Help),
        "ping" => alone(Command::Ping),
        "map" => alone(Command::Map),
        "open" => alone(Command::Open),
        "portal" => alone(Command::Portal),
        "disable" => alone(Command::Disable),
        "connect" => key(rest).map(Command::Connect),
        _ => format(rest).map(Command::Format),
    }
}

fn key(words: &[&str]) -> Result<Key, Mistake> {
    if words.is_empty() {
        return Err(Mistake::NoKey);
    }
    // Somebody may read a code out in two halves.
    if let Some(code) = normal_code(&words.concat()) {
        return Ok(Key::Code(code));
    }
    let [word] = words else { return Err(Mistake::NotAKey) };
    let word = word.trim_matches(['<', '>']);
    let in_path = ["/portals/", "/p/"].iter().find_map(|part| word.split_once(part).map(|(_, token)| token));
    let token = in_path.unwrap_or(word).split(['/', '?', '#']).next().unwrap_or_default();
    let letters = token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let whole = token.len() >= PORTAL_MIN && word.len() <= WORD_MAX && letters;
    whole.then(|| Key::Portal(token.to_owned())).ok_or(Mistake::NotAKey)
}

/// Shorter words are no Portal's token: those carry 256 bits.
const PORTAL_MIN: usize = 40;

fn format(words: &[&str]) -> Result<Format, Mistake> {
    let Some((option, rest)) = words.split_first() else { return Ok(Format::Show) };
    let Some(choice) = CHOICES.iter().find(|choice| option.eq_ignore_ascii_case(choice.name)) else {
        let nearest = nearest(option, CHOICES.iter().map(|choice| choice.name));
        return Err(Mistake::NoOption { said: (*option).to_owned(), nearest });
    };
    let [value] = rest else { return Err(Mistake::NoValue(choice)) };
    let value = value.to_ascii_lowercase();
    let set = match (choice.name, value.as_str()) {
        ("author", "name") => Format::Author(AuthorStyle::Name),
        ("author", "username") => Format::Author(AuthorStyle::Username),
        ("author", "both") => Format::Author(AuthorStyle::Both),
        ("team", "on") => Format::Team(true),
        ("team", "off") => Format::Team(false),
        ("system", "on") => Format::System(true),
        ("system", "off") => Format::System(false),
        ("direction", "both") => Format::Direction(Direction::Both),
        ("direction", "not-out") => Format::Direction(Direction::NotOut),
        ("direction", "not-in") => Format::Direction(Direction::NotIn),
        ("edits", "correction") => Format::Edits(EditStyle::Correction),
        ("edits", "ignore") => Format::Edits(EditStyle::Ignore),
        ("replies", "quote") => Format::Replies(ReplyStyle::Quote),
        ("replies", "plain") => Format::Replies(ReplyStyle::Plain),
        _ => return Err(Mistake::NoValue(choice)),
    };
    Ok(set)
}

/// The name that is a slip or two away, if one is.
fn nearest(said: &str, names: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let said: Vec<char> = said.chars().take(16).map(|c| c.to_ascii_lowercase()).collect();
    let name = names.into_iter().min_by_key(|name| slips(&said, name))?;
    let few = if name.len() > 4 { 2 } else { 1 };
    (slips(&said, name) <= few || begins(&said, name)).then_some(name)
}

fn begins(said: &[char], name: &str) -> bool {
    said.len() >= 2 && name.chars().zip(said).all(|(a, b)| a == *b) && said.len() <= name.len()
}

/// How many letters are wrong, missing, too many or swapped with their neighbour (Damerau's distance, of optimal
/// alignment).
fn slips(said: &[char], name: &str) -> usize {
    let name: Vec<char> = name.chars().collect();
    let width = name.len() + 1;
    let mut rows: Vec<Vec<usize>> = vec![(0..width).collect()];
    for i in 1..=said.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let wrong = usize::from(said[i - 1] != name[j - 1]);
            row[j] = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + wrong);
            if i > 1 && j > 1 && said[i - 1] == name[j - 2] && said[i - 2] == name[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[said.len()][name.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sameroom_model::{Mention, UserKey};

    use super::*;

    fn us() -> Identity {
        Identity { key: Some(UserKey::from("UBOT")), name: "bridge".to_owned() }
    }

    fn asked(words: &str) -> Option<Result<Command, Mistake>> {
        read(&Text::plain(words), &us())
    }

    fn mention(key: &str, label: &str, rest: &str) -> Option<Result<Command, Mistake>> {
        let mention = Mention { kind: MentionKind::User(key.into()), label: label.to_owned() };
        let inlines = vec![Inline::Mention(mention), Inline::Text(rest.to_owned())];
        read(&Text { blocks: vec![Block::Paragraph(inlines)] }, &us())
    }

    #[test]
    fn whoever_writes_our_name_first_means_us() {
        for words in ["-sameroom help", "@sameroom help", "  -Sameroom: HELP", "--sameroom help", "—sameroom help"] {
            assert_eq!(asked(words), Some(Ok(Command::Help)), "{words}");
        }
        assert_eq!(asked("-sameroom"), Some(Ok(Command::Help)));
        assert_eq!(asked("-sameroom ping\nand more"), Some(Ok(Command::Ping)));
        for words in ["sameroom help", "-sameroomx", "-sameroom-dev help", "I wrote -sameroom help", "@sameroom.org"] {
            assert_eq!(asked(words), None, "{words}");
        }
    }

    #[test]
    fn whoever_speaks_to_our_account_has_to_say_a_command_to_the_letter() {
        assert_eq!(asked("bridge: ping"), Some(Ok(Command::Ping)));
        assert_eq!(asked("Bridge, help"), Some(Ok(Command::Help)));
        assert_eq!(asked("bridge: open the door"), None);
        assert_eq!(asked("bridge: how are you"), None);
        assert_eq!(asked("bridge:"), None);
        assert_eq!(asked("bridgehead: ping"), None);
        assert_eq!(mention("UBOT", "Anything", " help"), Some(Ok(Command::Help)));
        assert_eq!(mention("UBOT", "Anything", ": map"), Some(Ok(Command::Map)));
        assert_eq!(mention("UBOT", "Anything", " is down again"), None);
        assert_eq!(mention("UANN", "ann", " help"), None);
        assert_eq!(mention("UX", "Sameroom", " help"), Some(Ok(Command::Help)));
    }

    #[test]
    fn what_is_quoted_is_not_asked() {
        let code = Text { blocks: vec![Block::Paragraph(vec![Inline::Code("-sameroom disable".to_owned())])] };
        assert_eq!(read(&code, &us()), None);
        let quote = Text { blocks: vec![Block::Quote(Text::plain("-sameroom disable").blocks)] };
        assert_eq!(read(&quote, &us()), None);
    }

    #[test]
    fn codes_and_portals_are_told_apart() {
        let code = || Some(Ok(Command::Connect(Key::Code("KP4T9XQM".to_owned()))));
        for words in ["KP4T-9XQM", "kp4t9xqm", "KP4T 9XQM", "kp4t–9xqm"] {
            assert_eq!(asked(&format!("-sameroom connect {words}")), code(), "{words}");
        }
        let token = "aZ-_0123456789012345678901234567890123456789abc";
        let portal = || Some(Ok(Command::Connect(Key::Portal(token.to_owned()))));
        for url in ["https://x.example/portals/", "https://x.example/sub/p/", ""] {
            assert_eq!(asked(&format!("-sameroom connect {url}{token}")), portal(), "{url}");
        }
        assert_eq!(asked(&format!("-sameroom connect <https://x.example/p/{token}?from=chat>")), portal());
        assert_eq!(asked("-sameroom connect"), Some(Err(Mistake::NoKey)));
        for words in ["KP4T-9XQ0", "KP4T-9XQMM", "https://x.example/", "a b c", "../../x"] {
            assert_eq!(asked(&format!("-sameroom connect {words}")), Some(Err(Mistake::NotAKey)), "{words}");
        }
    }

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        let meant = |said: &str| match asked(&format!("-sameroom {said}")) {
            Some(Err(Mistake::Unknown { nearest, .. })) => nearest,
            other => panic!("{other:?}"),
        };
        for (said, name) in [
            ("hlep", "help"),
            ("pong", "ping"),
            ("conect", "connect"),
            ("disabel", "disable"),
            ("portals", "portal"),
            ("form", "format"),
        ] {
            assert_eq!(meant(said), Some(name), "{said}");
        }
        assert_eq!(meant("please"), None);
        assert_eq!(meant("x"), None);
    }

    #[test]
    fn every_value_that_is_listed_is_taken() {
        for choice in &CHOICES {
            for value in choice.values {
                let asked = asked(&format!("-sameroom format {} {value}", choice.name));
                assert!(matches!(asked, Some(Ok(Command::Format(_)))), "{} {value}", choice.name);
            }
            let wrong = asked(&format!("-sameroom format {} sideways", choice.name));
            assert_eq!(wrong, Some(Err(Mistake::NoValue(choice))));
        }
        assert_eq!(asked("-sameroom format"), Some(Ok(Command::Format(Format::Show))));
        let wrong = Mistake::NoOption { said: "colour".to_owned(), nearest: None };
        assert_eq!(asked("-sameroom format colour red"), Some(Err(wrong)));
    }

    proptest! {
        #[test]
        fn nothing_that_begins_with_our_name_is_taken_for_peoples_words(rest in "\\PC{0,60}") {
            for name in ["-sameroom", "@sameroom"] {
                let typed = format!("{name} {rest}");
                prop_assert!(asked(&typed).is_some());
            }
        }

        #[test]
        fn any_words_are_read_without_harm(words in "\\PC{0,80}") {
            let _ = asked(&words);
        }
    }
}
