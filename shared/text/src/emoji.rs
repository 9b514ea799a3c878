//! Short codes of emoji and their Unicode forms, over the `emojis` crate (gemoji's table). It must not know which
//! emoji are a workspace's own: those are `None` here.

use emojis::{Emoji, SkinTone};

/// Slack's names that gemoji lacks or gives to something else, with their Unicode forms
/// (<https://github.com/iamcal/emoji-data>, which Slack's list is made of).
const ALIASES: [(&str, &str); 16] = [
    ("simple_smile", "🙂"),
    ("hugging_face", "🤗"),
    ("thinking_face", "🤔"),
    ("face_with_rolling_eyes", "🙄"),
    ("robot_face", "🤖"),
    ("upside_down_face", "🙃"),
    ("money_mouth_face", "🤑"),
    ("nerd_face", "🤓"),
    ("zipper_mouth_face", "🤐"),
    ("face_with_thermometer", "🤒"),
    ("slightly_frowning_face", "🙁"),
    ("white_frowning_face", "☹️"),
    ("the_horns", "🤘"),
    ("sign_of_the_horns", "🤘"),
    ("heavy_check_mark", "✔️"),
    ("large_blue_circle", "🔵"),
];

/// The Unicode form of a short code (without colons), in the names of GitHub and Slack. `wave::skin-tone-3` has a skin
/// tone. `None`: no such emoji, so a custom one.
pub fn unicode(name: &str) -> Option<&'static str> {
    let (base, tone) = match name.split_once("::") {
        Some((base, tone)) => (base, Some(skin_tone(tone)?)),
        None => (name, None),
    };
    let emoji = lookup(base)?;
    match tone {
        Some(tone) => Some(emoji.with_skin_tone(tone).unwrap_or(emoji).as_str()),
        None => Some(emoji.as_str()),
    }
}

/// The short code of an emoji, without colons. `None`: no emoji, or one that gemoji has no name for.
pub fn name(unicode: &str) -> Option<&'static str> {
    emojis::get(unicode)?.shortcode()
}

fn lookup(name: &str) -> Option<&'static Emoji> {
    if let Some((_, unicode)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return emojis::get(unicode);
    }
    emojis::get_by_shortcode(name).or_else(|| emojis::get_by_shortcode(&name.replace('-', "_")))
}

fn skin_tone(tone: &str) -> Option<SkinTone> {
    Some(match tone {
        "skin-tone-2" => SkinTone::Light,
        "skin-tone-3" => SkinTone::MediumLight,
        "skin-tone-4" => SkinTone::Medium,
        "skin-tone-5" => SkinTone::MediumDark,
        "skin-tone-6" => SkinTone::Dark,
        _ => return None,
    })
}

/// The longest short code that is looked at, in bytes.
const NAME_MAX: usize = 64;

/// Whether it can be the name of a custom emoji: a letter and no characters but those that platforms allow.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX && name.bytes().all(is_name_byte) && name.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_name_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'\'')
}

/// A short code found in a text.
pub(crate) struct Found<'a> {
    /// Where the first colon is.
    pub(crate) start: usize,
    /// After the last colon.
    pub(crate) end: usize,
    /// Without colons.
    pub(crate) name: &'a str,
    /// `None`: a custom emoji.
    pub(crate) unicode: Option<&'static str>,
}

/// The short codes in a text, in order. A name that is not known counts as a custom emoji where it stands apart from
/// letters and digits, so that `10:30:00` and `std::fmt::Debug` are not full of emoji.
pub(crate) fn find(text: &str) -> Vec<Found<'_>> {
    let mut found: Vec<Found<'_>> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(|b| *b == b':').map(|offset| at + offset) {
        match code_at(text, start, found.last().map_or(0, |last| last.end), None) {
            Some(code) => {
                at = code.end;
                found.push(code);
            }
            None => at = start + 1,
        }
    }
    found
}

/// The text with its short codes broken by a zero-width space after the first colon, so that none is seen in it.
pub(crate) fn protect(text: &str) -> String {
    // From the right: a broken code frees the colon that it begins with to end the one before it, as in `:a:wave:`.
    let mut broken: Vec<usize> = Vec::new();
    for (at, _) in text.rmatch_indices(':') {
        if code_at(text, at, 0, broken.last().copied()).is_some() {
            broken.push(at);
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for at in broken.into_iter().rev() {
        out.push_str(&text[done..=at]);
        out.push('\u{200b}');
        done = at + 1;
    }
    out.push_str(&text[done..]);
    out
}

/// Whether the short code of an emoji must be kept apart from the text before it, so that it is seen: a letter or digit
/// would hide it, a colon with such before it would make a name of what is between, and it could seem to be in a URL.
pub(crate) fn needs_gap_after(text: &str) -> bool {
    let word = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    word.ends_with(|c: char| c.is_alphanumeric() || ":_+-'".contains(c)) || word.contains("://")
}

/// Whether the text begins with something like a short code, if only by its form.
fn looks_like_code(text: &str) -> bool {
    let Some(rest) = text.as_bytes().strip_prefix(b":") else { return false };
    let length = rest.iter().take(NAME_MAX + 1).take_while(|b| is_name_byte(**b)).count();
    (1..=NAME_MAX).contains(&length) && rest.get(length) == Some(&b':')
}

/// Whether the short code of an emoji must be kept apart from this character behind it. With a slash it could look like
/// a URL (`:https:` before `//example.org`).
pub(crate) fn needs_gap_before(next: char) -> bool {
    next.is_alphanumeric() || matches!(next, ':' | '/')
}

/// The short code that begins with the colon at `start`, where the one before it ended at `after`, and a zero-width
/// space is taken to stand behind the colon at `parted`.
fn code_at(text: &str, start: usize, after: usize, parted: Option<usize>) -> Option<Found<'_>> {
    let bytes = text.as_bytes();
    let rest = &bytes[start + 1..];
    let mut length = rest.iter().take(NAME_MAX + 1).take_while(|b| is_name_byte(**b)).count();
    if length == 0 || length > NAME_MAX || rest.get(length) != Some(&b':') {
        return None;
    }
    let base = &text[start + 1..start + 1 + length];
    let toned = rest.get(length..).is_some_and(|tail| tail.starts_with(b"::skin-tone-")) && {
        matches!(rest.get(length + 12), Some(b'2'..=b'6')) && rest.get(length + 13) == Some(&b':')
    };
    if toned && unicode(base).is_some() {
        length += 13;
    }
    let name = &text[start + 1..start + 1 + length];
    let end = start + length + 2;
    let unicode = unicode(name);
    let free = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != ':');
    // Right after another short code its colon is no obstacle, and neither is that of one that follows.
    let before = (start == after && start > 0) || free(text[..start].chars().next_back());
    let next = &text[end..];
    let behind = parted == Some(end - 1) || free(next.chars().next()) || looks_like_code(next);
    let is_emoji = match unicode {
        Some(_) => before || behind,
        None => before && behind && is_name(name),
    };
    is_emoji.then_some(Found { start, end, name, unicode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_worlds() {
        assert_eq!(unicode("wave"), Some("👋"));
        assert_eq!(unicode("thumbsup"), Some("👍"));
        assert_eq!(unicode("+1"), Some("👍"));
        assert_eq!(unicode("simple_smile"), Some("🙂"));
        assert_eq!(unicode("wave::skin-tone-3"), Some("👋🏼"));
        assert_eq!(unicode("wave::skin-tone-9"), None);
        assert_eq!(unicode("shipit_squirrel"), None);
        assert_eq!(name("👋"), Some("wave"));
        assert_eq!(name("x"), None);
        for (alias, form) in ALIASES {
            assert_eq!(unicode(alias), Some(form), "{alias}");
        }
    }

    #[test]
    fn codes_in_text() {
        let names = |text| find(text).into_iter().map(|found| found.name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names("hi :wave: :wave::skin-tone-3: :blob_cat:!"), ["wave", "wave::skin-tone-3", "blob_cat"]);
        assert!(names("at 10:30:00, std::fmt::Debug, a:b:c, :, ::, : x :").is_empty());
    }
}
