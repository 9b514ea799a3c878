//! Mentions on the way into a room whose platform has them. Those of another account mean nobody there: they become the
//! one person of that name, or words. `@name` in words becomes a mention likewise. Nothing here ever makes a mention of
//! everybody, and nothing knows how a mention is written.

use sameroom_model::{AccountId, Block, Inline, Mention, MentionKind, Text, UserKey};

/// How many mentions are made of one text's words.
const MADE_MAX: usize = 20;
/// The longest name that is looked for, in characters.
const NAME_MAX: usize = 80;
/// The most words that a name has.
const WORDS_MAX: usize = 4;
/// What calls everybody on one platform or another: never a person, whatever somebody calls themselves.
const EVERYBODY: [&str; 8] = ["channel", "here", "everyone", "everybody", "all", "room", "group", "team"];

/// Who goes by a name (folded) in the target account.
pub(crate) type Named<'a> = &'a dyn Fn(&str) -> Vec<UserKey>;

/// The text as the target account may show it: `from` is where it was written, `to` where it goes. `by_name`: whether
/// `@name` in words becomes a mention.
pub(crate) fn localise(text: &mut Text, from: &AccountId, to: &AccountId, by_name: bool, named: Named<'_>) {
    let mut desk = Desk { foreign: from != to, by_name, named, left: MADE_MAX };
    desk.blocks(&mut text.blocks);
}

struct Desk<'a> {
    foreign: bool,
    by_name: bool,
    named: Named<'a>,
    left: usize,
}

impl Desk<'_> {
    fn blocks(&mut self, blocks: &mut [Block]) {
        for block in blocks {
            match block {
                Block::Paragraph(inlines) => self.inlines(inlines),
                // What somebody else said calls nobody by its words, but its mentions are foreign all the same.
                Block::Quote(inner) => {
                    let by_name = std::mem::replace(&mut self.by_name, false);
                    self.blocks(inner);
                    self.by_name = by_name;
                }
                Block::List { items, .. } => items.iter_mut().for_each(|item| self.blocks(item)),
                Block::Code { .. } => {}
            }
        }
    }

    fn inlines(&mut self, inlines: &mut Vec<Inline>) {
        let mut out = Vec::with_capacity(inlines.len());
        for inline in inlines.drain(..) {
            match inline {
                Inline::Text(text) => self.words(text, &mut out),
                Inline::Mention(mention) if self.foreign => out.push(self.foreign(mention)),
                Inline::Strong(inner) => out.push(Inline::Strong(self.within(inner))),
                Inline::Emphasis(inner) => out.push(Inline::Emphasis(self.within(inner))),
                Inline::Struck(inner) => out.push(Inline::Struck(self.within(inner))),
                Inline::Link { url, label } => {
                    let by_name = std::mem::replace(&mut self.by_name, false);
                    let label = self.within(label);
                    self.by_name = by_name;
                    out.push(Inline::Link { url, label });
                }
                other => out.push(other),
            }
        }
        *inlines = out;
    }

    fn within(&mut self, mut inlines: Vec<Inline>) -> Vec<Inline> {
        self.inlines(&mut inlines);
        inlines
    }

    /// A mention of elsewhere, for here.
    fn foreign(&self, mention: Mention) -> Inline {
        let label = mention.label.trim();
        match &mention.kind {
            MentionKind::User(_) => match self.one(label) {
                Some(key) => Inline::Mention(Mention { kind: MentionKind::User(key), label: label.to_owned() }),
                None => Inline::Text(format!("@{label}")),
            },
            MentionKind::Room(_) => Inline::Text(format!("#{}", label.trim_start_matches('#'))),
            // Writers never let these call anybody, and show them so that they don't.
            MentionKind::Group(_) | MentionKind::Everyone => Inline::Mention(mention),
        }
    }

    /// The one person of that name.
    fn one(&self, name: &str) -> Option<UserKey> {
        let folded = name.to_lowercase();
        if EVERYBODY.contains(&folded.as_str()) {
            return None;
        }
        let mut keys = (self.named)(&folded);
        if keys.len() == 1 { keys.pop() } else { None }
    }

    fn words(&mut self, text: String, out: &mut Vec<Inline>) {
        if !self.by_name || !text.contains('@') {
            out.push(Inline::Text(text));
            return;
        }
        let mut rest = 0;
        let mut search = 0;
        while let Some(at) = text[search..].find('@').map(|found| search + found) {
            search = at + 1;
            let free = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && !"_-./@+".contains(c));
            if !free || self.left == 0 {
                continue;
            }
            let Some((key, end)) = self.longest(&text[search..]) else { continue };
            self.left -= 1;
            if rest < at {
                out.push(Inline::Text(text[rest..at].to_owned()));
            }
            let label = text[search..search + end].to_owned();
            out.push(Inline::Mention(Mention { kind: MentionKind::User(key), label }));
            rest = search + end;
            search = rest;
        }
        if rest < text.len() {
            out.push(Inline::Text(text[rest..].to_owned()));
        }
    }

    /// The person whose name these words begin with, and where it ends. A longer name wins; one that several have makes
    /// none, and no shorter one is tried in its place.
    fn longest(&self, words: &str) -> Option<(UserKey, usize)> {
        let mut ends = Vec::new();
        let mut gaps = 0;
        for (count, (i, c)) in words.char_indices().enumerate() {
            if count > NAME_MAX || gaps == WORDS_MAX {
                break;
            }
            if !within_name(c) && i > 0 {
                if may_end(&words[i..]) {
                    ends.push(i);
                }
                if c == '\n' {
                    break;
                }
            }
            if c.is_whitespace() {
                if i == 0 {
                    return None;
                }
                gaps += 1;
            }
        }
        if gaps < WORDS_MAX && words.chars().count() <= NAME_MAX {
            ends.push(words.len());
        }
        for end in ends.into_iter().rev() {
            let name = &words[..end];
            if name.ends_with(char::is_whitespace) {
                continue;
            }
            if !(self.named)(&name.to_lowercase()).is_empty() {
                return self.one(name).map(|key| (key, end));
            }
        }
        None
    }
}

fn within_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Whether a name may end before this: `@ann.lee` and `@ann@host` don't name ann.
fn may_end(rest: &str) -> bool {
    let mut chars = rest.chars();
    match chars.next() {
        Some('.') => chars.next().is_none_or(|c| !c.is_alphanumeric()),
        Some('@') => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ann Lee is `U1` and also goes by `ann`; two people are called Sam; somebody calls themselves `here`.
    fn named(folded: &str) -> Vec<UserKey> {
        let keys: &[&str] = match folded {
            "ann" | "ann lee" => &["U1"],
            "bob" => &["U2"],
            "sam" => &["U3", "U4"],
            "here" | "channel" => &["U5"],
            _ => &[],
        };
        keys.iter().map(|key| UserKey::from(*key)).collect()
    }

    fn shown(inlines: &[Inline]) -> String {
        inlines
            .iter()
            .map(|inline| match inline {
                Inline::Text(text) => text.clone(),
                Inline::Mention(Mention { kind: MentionKind::User(key), label }) => format!("<{key}|{label}>"),
                Inline::Mention(mention) => format!("<?{}>", mention.label),
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn read(words: &str) -> String {
        let mut text = Text::plain(words);
        localise(&mut text, &"a".into(), &"b".into(), true, &named);
        match text.blocks.first() {
            Some(Block::Paragraph(inlines)) => shown(inlines),
            _ => String::new(),
        }
    }

    #[test]
    fn a_name_that_one_person_has_becomes_a_mention() {
        assert_eq!(read("hi @ann!"), "hi <U1|ann>!");
        assert_eq!(read("@Ann Lee, see"), "<U1|Ann Lee>, see");
        assert_eq!(read("@ann lee @BOB"), "<U1|ann lee> <U2|BOB>");
        assert_eq!(read("(@ann) and @ann's"), "(<U1|ann>) and <U1|ann>'s");
        assert_eq!(read("thanks @ann."), "thanks <U1|ann>.");
    }

    #[test]
    fn what_is_not_the_whole_name_stays_words() {
        for words in ["@anna", "@ann-lee", "@ann.lee", "@ann@host", "x@ann", "mail/@ann", "@ ann", "@", "@@ann"] {
            assert_eq!(read(words), words);
        }
    }

    #[test]
    fn a_name_that_several_have_stays_words() {
        assert_eq!(read("@sam and @Sam"), "@sam and @Sam");
    }

    #[test]
    fn t7_nobody_is_called_by_a_name_for_everybody() {
        for words in ["@here", "@channel", "@HERE now", "@everyone", "@all", "@room"] {
            assert_eq!(read(words), words);
        }
    }

    #[test]
    fn mentions_made_of_words_are_bounded() {
        let many = "@ann ".repeat(100);
        assert_eq!(read(&many).matches("<U1|").count(), MADE_MAX);
    }

    #[test]
    fn mentions_of_another_account_become_the_person_here_or_words() {
        let mention = |kind, label: &str| Inline::Mention(Mention { kind, label: label.to_owned() });
        let body = vec![
            mention(MentionKind::User("U2".into()), "Ann"),
            mention(MentionKind::User("U1".into()), "stranger"),
            mention(MentionKind::User("U9".into()), "here"),
            mention(MentionKind::Room("C1".into()), "#general"),
            mention(MentionKind::Everyone, "channel"),
        ];
        let mut text = Text { blocks: vec![Block::Paragraph(body.clone())] };
        localise(&mut text, &"a".into(), &"b".into(), false, &named);
        let Block::Paragraph(inlines) = &text.blocks[0] else { panic!("a paragraph") };
        assert_eq!(shown(inlines), "<U1|Ann>@stranger@here#general<?channel>");
        let mut text = Text { blocks: vec![Block::Paragraph(body.clone())] };
        localise(&mut text, &"a".into(), &"a".into(), false, &named);
        assert_eq!(text.blocks, [Block::Paragraph(body)], "within one account keys mean what they meant");
    }

    #[test]
    fn code_quotes_and_links_call_nobody() {
        let label = vec![Inline::Text("@ann".to_owned())];
        let blocks = vec![
            Block::Code { language: None, text: "@ann".to_owned() },
            Block::Quote(vec![Block::Paragraph(label.clone())]),
            Block::Paragraph(vec![
                Inline::Code("@ann".to_owned()),
                Inline::Link { url: "https://a".to_owned(), label },
            ]),
        ];
        let mut text = Text { blocks: blocks.clone() };
        localise(&mut text, &"a".into(), &"b".into(), true, &named);
        assert_eq!(text.blocks, blocks);
    }

    proptest::proptest! {
        #[test]
        fn words_are_never_changed_otherwise(words in "[@a-z .-]{0,40}") {
            let read = read(&words);
            let plain = read.replace("<U1|", "@").replace("<U2|", "@").replace('>', "");
            proptest::prop_assert_eq!(plain, words);
        }
    }
}
