//! Dialects of text: every dialect is read into the tree of `sameroom_model` once and written from it once. This crate
//! must not know platforms, rooms or accounts: only words.
//!
//! For each dialect `D` the law is `D::read(&D::write(&t)) == degrade(&t, &Markup::D)`, for any tree `t`. Both sides
//! are in the normal form that [`normalise`] describes.

pub mod emoji;
pub mod html;
pub mod irc;
pub mod markdown;
pub mod mrkdwn;
pub mod names;
pub mod plain;

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;

mod degrade;
mod inline;
mod link;
mod neutral;
mod normal;
mod split;

#[cfg(test)]
mod tests;

pub use degrade::degrade;
pub use neutral::neutralise;
pub use normal::normalise;
pub use split::split;

/// How deep quotes and lists may nest. What lies deeper is kept, at this depth.
pub const MAX_DEPTH: usize = 32;

/// Which constructs a dialect or platform can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Markup {
    /// Bold.
    pub strong: bool,
    /// Italic.
    pub emphasis: bool,
    /// Struck through.
    pub struck: bool,
    /// Inline code.
    pub code: bool,
    /// Code blocks.
    pub code_block: bool,
    /// Code blocks with a language.
    pub code_language: bool,
    /// Quotes.
    pub quote: bool,
    /// Lists.
    pub list: bool,
    /// Links with a label.
    pub link: bool,
    /// Mentions.
    pub mention: bool,
    /// Emoji by name.
    pub emoji: bool,
    /// More than one line.
    pub lines: bool,
}

impl Markup {
    /// One line of words.
    pub const NONE: Self = Self {
        strong: false,
        emphasis: false,
        struck: false,
        code: false,
        code_block: false,
        code_language: false,
        quote: false,
        list: false,
        link: false,
        mention: false,
        emoji: false,
        lines: false,
    };

    /// Everything that the tree can say.
    pub const ALL: Self = Self {
        strong: true,
        emphasis: true,
        struck: true,
        code: true,
        code_block: true,
        code_language: true,
        quote: true,
        list: true,
        link: true,
        mention: true,
        emoji: true,
        lines: true,
    };

    /// What [`plain`] carries: words and lines.
    pub const PLAIN: Self = Self { lines: true, ..Self::NONE };

    /// What [`irc`] carries: runs of formatting, and lines.
    pub const IRC: Self = Self { strong: true, emphasis: true, struck: true, code: true, ..Self::PLAIN };

    /// What [`html`] carries.
    pub const HTML: Self = Self { mention: false, emoji: false, ..Self::ALL };

    /// What [`markdown`] carries.
    pub const MARKDOWN: Self = Self { mention: false, ..Self::ALL };

    /// What [`mrkdwn::write`] carries.
    pub const MRKDWN: Self = Self { mention: false, list: false, code_language: false, ..Self::ALL };

    /// What [`mrkdwn::write_with_mentions`] carries.
    pub const MRKDWN_MENTIONS: Self = Self { mention: true, ..Self::MRKDWN };
}
