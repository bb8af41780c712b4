//! What the ledger keeps of how a file was understood, beside its rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::formats::Parsed;

/// Properties kept of one file: they lie in the Delta log.
const PROPERTIES_MAX: usize = 60;
/// Characters of a property's key or value.
const CHARS_MAX: usize = 300;
/// Bytes of all properties of one file: every server keeps those of all files in memory.
const BYTES_MAX: usize = 4 << 10;
/// Under this key stands how many more there were.
const MORE: &str = "…";

/// See the module. A ledger written before there was such a thing has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// How sure the reading is, in hundredths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confidence_percent: Option<u8>,
    /// Why it is not 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) doubts: Option<String>,
    /// Why it feeds the tables it feeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grouped_by: Option<String>,
    /// Keys and values of the file's own head and foot.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, String>,
}

impl Told {
    pub(crate) fn of(parsed: &Parsed, grouped_by: String) -> Self {
        Self {
            confidence_percent: Some(parsed.confidence.percent()),
            doubts: parsed.confidence.doubts().map(|doubts| cut(&doubts, CHARS_MAX * 2)),
            grouped_by: Some(grouped_by),
            properties: bounded(&parsed.properties),
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a doubt that multiplies the confidence, in words.
    pub(crate) fn doubt(&mut self, factor: f64, why: &str) {
        let percent = f64::from(self.confidence_percent.unwrap_or(100)) * factor.clamp(0.0, 1.0);
        self.confidence_percent = Some(percent.round().clamp(1.0, 100.0) as u8);
        let doubts = match &self.doubts {
            Some(doubts) => format!("{doubts}; {why}"),
            None => why.to_owned(),
        };
        self.doubts = Some(cut(&doubts, CHARS_MAX * 2));
    }

    /// The same for a further table of the file, which need not keep the head again.
    pub(crate) fn without_properties(&self) -> Self {
        Self {
            properties: BTreeMap::new(),
            ..self.clone()
        }
    }
}

fn bounded(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    let mut bytes = 0;
    // Keys and values first; remarks are called by their line.
    let is_remark = |key: &str| key.starts_with("line ") || key.starts_with("row ");
    let (remarks, pairs): (Vec<_>, Vec<_>) = properties.iter().partition(|(key, _)| is_remark(key));
    for (key, value) in pairs.into_iter().chain(remarks) {
        let (key, value) = (cut(key, CHARS_MAX), cut(value, CHARS_MAX));
        bytes += key.len() + value.len();
        if kept.len() >= PROPERTIES_MAX || bytes > BYTES_MAX {
            break;
        }
        kept.insert(key, value);
    }
    let more = properties.len().saturating_sub(kept.len());
    if more > 0 {
        kept.insert(MORE.to_owned(), format!("{more} more in the file"));
    }
    kept
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_head_is_cut_and_says_so() {
        let many: BTreeMap<String, String> = (0..150)
            .map(|at| (format!("key {at:03}"), "value".to_owned()))
            .collect();
        let kept = bounded(&many);
        assert_eq!(kept.len(), PROPERTIES_MAX + 1);
        assert_eq!(kept.get(MORE).map(String::as_str), Some("90 more in the file"));
        let long = BTreeMap::from([("a".to_owned(), "x".repeat(1000))]);
        assert_eq!(
            bounded(&long).get("a").map(|value| value.chars().count()),
            Some(CHARS_MAX + 1)
        );
        let few = BTreeMap::from([("Serial".to_owned(), "X1".to_owned())]);
        assert_eq!(bounded(&few), few);
    }

    #[test]
    fn a_ledger_of_before_reads_as_nothing() {
        assert!(serde_json::from_str::<Told>("{}").is_ok_and(|told| told.is_nothing()));
    }
}
