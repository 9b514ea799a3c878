//! Dialects of text.
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
