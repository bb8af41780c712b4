//! Words that stand where values are looked for: words for "no value", marks of what could not be read, units; and headings
//! that say what kind of words stand below them.

use crate::formats::number;

/// Words that mean "no value" among values, and what each of them says. In a text column they stay.
const NULL_WORDS: [(&str, Nothing); 13] = [
    ("na", Nothing::Missing),
    ("n/a", Nothing::Missing),
    ("#n/a", Nothing::Missing),
    ("n.a.", Nothing::Missing),
    ("nan", Nothing::Missing),
    ("null", Nothing::Missing),
    ("none", Nothing::None),
    ("-", Nothing::Stroke),
    ("--", Nothing::Stroke),
    (".", Nothing::Stroke),
    ("n.d.", Nothing::NotDetected),
    ("n.d", Nothing::NotDetected),
    ("nd", Nothing::NotDetected),
];
/// Chemical elements that are spelled like two of them.
const ELEMENTS: [&str; 2] = ["Na", "Nd"];
/// What readers and reports write for what they could not put in numbers.
const MARKS: [&str; 50] = [
    "ovrflw",
    "ovrfl",
    "over",
    "overflow",
    "oor",
    "sat",
    "sat.",
    "saturated",
    "masked",
    "invalid",
    "error",
    "err",
    "fail",
    "failed",
    "missing",
    "excluded",
    "outlier",
    "undetermined",
    "und",
    "n/d",
    "tntc",
    "loq",
    "lod",
    "lloq",
    "uloq",
    "blq",
    "bloq",
    "alq",
    "aloq",
    "bql",
    "bdl",
    "bld",
    "low",
    "high",
    "neg",
    "pos",
    "negative",
    "positive",
    "no ct",
    "noct",
    "no peak",
    "not detected",
    "not calculated",
    "out of range",
    "over range",
    "overrange",
    "under range",
    "overload",
    "below range",
    "above range",
];
/// Those of them that are answers and names of controls as often.
const QUALITIES: [&str; 8] = [
    "low", "high", "neg", "pos", "negative", "positive", "missing", "excluded",
];
/// Units without a sign that tells them, in small letters; and the words that name types.
const UNITS: [&str; 82] = [
    "g", "mg", "ug", "ng", "pg", "kg", "l", "ml", "ul", "nl", "dl", "m", "mm", "cm", "um", "nm", "pm", "s", "sec",
    "secs", "seconds", "ms", "min", "mins", "minutes", "h", "hr", "hrs", "hours", "d", "days", "ppm", "ppb", "ppt",
    "mau", "au", "a.u.", "rfu", "rlu", "rlus", "od", "abs", "counts", "cps", "cpm", "v", "mv", "uv", "a", "ma", "ua",
    "na", "k", "c", "degc", "f", "bar", "mbar", "pa", "kpa", "hpa", "psi", "hz", "khz", "mhz", "rpm", "mol", "mmol",
    "umol", "nmol", "mol%", "mm2", "da", "kda", "iu", "cfu", "w", "j", "kj", "n", "float", "text",
];
/// Words of headings below which yes and no are answers.
const QUESTIONS: [&str; 44] = [
    "ok",
    "pass",
    "passed",
    "fail",
    "failed",
    "flag",
    "flagged",
    "valid",
    "invalid",
    "active",
    "used",
    "use",
    "done",
    "outlier",
    "include",
    "included",
    "exclude",
    "excluded",
    "detected",
    "present",
    "enabled",
    "approved",
    "reviewed",
    "positive",
    "hit",
    "saturated",
    "omit",
    "omitted",
    "censored",
    "missing",
    "selected",
    "checked",
    "required",
    "available",
    "success",
    "confirmed",
    "repeat",
    "rerun",
    "error",
    "warning",
    "manual",
    "masked",
    "gültig",
    "bestanden",
];
/// Words that start a question.
const ASKING: [&str; 9] = ["is", "has", "was", "were", "did", "does", "can", "should", "are"];
/// Words of headings below which things are named.
const THINGS: [&str; 33] = [
    "id",
    "ids",
    "name",
    "names",
    "sample",
    "samples",
    "sampleid",
    "plate",
    "plates",
    "plateid",
    "code",
    "batch",
    "lot",
    "barcode",
    "label",
    "specimen",
    "subject",
    "patient",
    "animal",
    "compound",
    "strain",
    "clone",
    "construct",
    "tube",
    "vial",
    "rack",
    "box",
    "key",
    "experiment",
    "probe",
    "platte",
    "charge",
    "bezeichnung",
];

/// What a word for "no value" says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    /// Nobody knows, or it does not apply.
    Missing,
    None,
    Stroke,
    /// It was looked for and not found: a result.
    NotDetected,
}

impl Nothing {
    /// What a trimmed cell says, if it is such a word.
    pub(super) fn of(cell: &str) -> Option<Self> {
        if cell.len() > 4 {
            return None;
        }
        let found = NULL_WORDS.iter().find(|(word, _)| cell.eq_ignore_ascii_case(word));
        found.map(|(_, nothing)| *nothing)
    }
}

/// Which words for "no value" were seen in a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Nothings {
    missing: bool,
    none: bool,
    stroke: bool,
    not_detected: bool,
    element: bool,
}

impl Nothings {
    /// Takes a trimmed cell into account; whether it is such a word.
    pub(super) fn see(&mut self, cell: &str) -> bool {
        let Some(nothing) = Nothing::of(cell) else { return false };
        match nothing {
            Nothing::Missing => self.missing = true,
            Nothing::None => self.none = true,
            Nothing::Stroke => self.stroke = true,
            Nothing::NotDetected => self.not_detected = true,
        }
        self.element |= ELEMENTS.contains(&cell);
        true
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.missing |= other.missing;
        self.none |= other.none;
        self.stroke |= other.stroke;
        self.not_detected |= other.not_detected;
        self.element |= other.element;
    }

    /// Whether a column of such words alone is one of texts: `Na` is sodium, and `none` a treatment. A column of `n.d.` is one of
    /// results, which are numbers in the next file.
    pub(super) fn are_values(self) -> bool {
        self.element || self.none
    }

    /// Whether some say one thing and others another, so that no value in place of all of them would lose it.
    pub(super) fn differ(self) -> bool {
        // A stroke is what people write who do not write NA.
        let kinds = [self.missing || self.stroke, self.none, self.not_detected];
        kinds.into_iter().filter(|seen| *seen).count() > 1
    }

    /// Whether some of them say more than no value does.
    pub(super) fn tell(self) -> bool {
        self.not_detected || self.differ()
    }
}

/// Whether a trimmed cell is one of the words for "no value".
pub(super) fn is_null_word(cell: &str) -> bool {
    Nothing::of(cell).is_some()
}

/// `true`/`false`, `yes`/`no`; not 0 and 1, which are numbers.
pub(super) fn boolean(cell: &str) -> Option<bool> {
    if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("yes") {
        Some(true)
    } else if cell.eq_ignore_ascii_case("false") || cell.eq_ignore_ascii_case("no") {
        Some(false)
    } else {
        None
    }
}

/// Whether a trimmed cell stands in place of a number that could not be read: `OVRFLW`, `<LOQ`, `TNTC`.
pub(super) fn is_mark(cell: &str) -> bool {
    cell.starts_with(['<', '>', '≤', '≥']) || is_null_word(cell) || MARKS.contains(&cell.to_lowercase().as_str())
}

/// Whether a trimmed cell can only stand in place of a number: a bound of it, or a word for one that could not be given.
pub(crate) fn is_limit(cell: &str) -> bool {
    let lower = || cell.to_lowercase();
    is_bound(cell)
        || (cell.starts_with(['<', '>']) && MARKS.contains(&lower().trim_start_matches(['<', '>', '=', ' '])))
        || (MARKS.contains(&lower().as_str()) && !QUALITIES.contains(&lower().as_str()))
}

/// Whether a trimmed cell says less or more than what: `<0.01`, `> 300`, `≤5,5`.
pub(super) fn is_bound(cell: &str) -> bool {
    let rest = cell
        .strip_prefix(['<', '>', '≤', '≥'])
        .map(|rest| rest.trim_start_matches(['=', ' ']));
    rest.is_some_and(|rest| number::parse(rest).is_some() || number::parse_comma(rest).is_some())
}

/// Whether a trimmed cell is spelled like a unit: `mg/l`, `[nm]`, `ppm`.
pub(super) fn is_unit(cell: &str) -> bool {
    let enclosed = [('(', ')'), ('[', ']'), ('{', '}')]
        .iter()
        .any(|(open, close)| cell.starts_with(*open) && cell.ends_with(*close));
    let signed = cell.contains(['µ', 'μ', '%', '°', '‰', 'Å', '²', '³', '/', '^', '·']);
    (enclosed || signed || UNITS.contains(&cell.to_lowercase().as_str())) && !is_mark_of_letters(cell)
}

/// `n/d` has a stroke as units have it.
fn is_mark_of_letters(cell: &str) -> bool {
    cell.eq_ignore_ascii_case("n/d") || cell.eq_ignore_ascii_case("n/a")
}

/// Whether a column of this name asks what yes or no answers.
pub(super) fn asks(name: &str) -> bool {
    let name = name.trim();
    let follows = |start: &str| {
        let rest = name.strip_prefix(start);
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_uppercase() || first == '_'))
    };
    let lower = name.to_lowercase();
    let mut words = lower.split(|character: char| !character.is_alphanumeric());
    name.ends_with('?')
        || follows("is")
        || follows("has")
        || words.clone().next().is_some_and(|first| ASKING.contains(&first))
        || words.any(|word| QUESTIONS.contains(&word))
}

/// Whether a heading is made of words that name things, and of nothing else: `Name`, `Sample ID`.
pub(super) fn only_names_things(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower.split([' ', '_']).filter(|word| !word.is_empty()).peekable();
    words.peek().is_some() && words.all(|word| THINGS.contains(&word))
}

/// Whether a column of this name holds names of things.
pub(super) fn names_things(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut words = lower.split(|character: char| !character.is_alphanumeric());
    words.any(|word| THINGS.contains(&word))
}
