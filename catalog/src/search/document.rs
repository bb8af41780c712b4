//! What is searched: one document for each thing a catalog has, made of short texts in fields.

/// Bytes of texts in one document. A comment has 4 KiB at most; a table of two thousand columns is found by its first few hundred, and
/// each column by its own document.
pub(super) const DOCUMENT_BYTES_MAX: usize = 16 << 10;
/// Bytes that any text counts at least: an empty one takes room too.
const TEXT_BYTES_MIN: usize = 8;

/// What a text of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Its own name.
    Name,
    /// Its heading as the file has it.
    Original,
    /// The function by which a model answers.
    Function,
    Comment,
    Tag,
    Unit,
    /// The name of a column of a table.
    Column,
    /// The name of a field inside a column.
    Part,
    /// What a model predicts.
    Target,
    /// What a model predicts from.
    Feature,
    /// A value that a column holds.
    Value,
    /// The schema that it is in.
    Schema,
    /// The table that a column is of. It tells hits apart and makes none: who looks for a table does not want its columns.
    Table,
}

/// Fields there are.
pub(super) const FIELDS: usize = 13;

impl Field {
    /// In the order of their numbers.
    pub(super) const ALL: [Self; FIELDS] = [
        Self::Name,
        Self::Original,
        Self::Function,
        Self::Comment,
        Self::Tag,
        Self::Unit,
        Self::Column,
        Self::Part,
        Self::Target,
        Self::Feature,
        Self::Value,
        Self::Schema,
        Self::Table,
    ];

    /// Its word in an answer.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Original => "heading",
            Self::Function => "function",
            Self::Comment => "comment",
            Self::Tag => "tag",
            Self::Unit => "unit",
            Self::Column => "column",
            Self::Part => "field",
            Self::Target => "target",
            Self::Feature => "feature",
            Self::Value => "value",
            Self::Schema => "schema",
            Self::Table => "table",
        }
    }

    /// How much a word in it counts.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Name => 3.0,
            Self::Original | Self::Function => 2.5,
            Self::Column => 1.5,
            Self::Comment | Self::Tag | Self::Unit | Self::Part | Self::Target => 1.0,
            Self::Feature | Self::Schema => 0.8,
            Self::Value => 0.6,
            Self::Table => 0.5,
        }
    }

    pub(super) fn makes_a_hit(self) -> bool {
        self != Self::Table
    }

    /// Names are also found written as one word: `plateid` finds `plate_id`.
    pub(super) fn is_name(self) -> bool {
        matches!(
            self,
            Self::Name | Self::Original | Self::Function | Self::Column | Self::Target | Self::Feature | Self::Table
        )
    }

    pub(super) fn at(self) -> usize {
        self as usize
    }
}

/// A thing that can be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    texts: Vec<(Field, String)>,
    bytes: usize,
}

impl Document {
    /// Adds a text, as much of it as there is room for.
    pub fn add(&mut self, field: Field, text: &str) {
        let room = DOCUMENT_BYTES_MAX.saturating_sub(self.bytes);
        if room < TEXT_BYTES_MIN || text.is_empty() {
            return;
        }
        let text = cut(text, room);
        self.bytes += text.len().max(TEXT_BYTES_MIN);
        self.texts.push((field, text.to_owned()));
    }

    /// The same with one text more.
    #[must_use]
    pub fn with(mut self, field: Field, text: &str) -> Self {
        self.add(field, text);
        self
    }

    pub(super) fn texts(&self) -> &[(Field, String)] {
        &self.texts
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The beginning of a text, in whole characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
