//! How sure the reading of a file is: one number from 0 to 1, and why it is not 1.
//!
//! A reading starts at 1 and each doubt multiplies it; nothing else goes in, so the number can be explained by its list.
//!
//! | evidence | factor |
//! |---|---|
//! | the format says itself what its columns are (Parquet, Avro, Arrow, SDF, JSON records) | 1 |
//! | the encoding was judged by the statistics of its bytes | 0.9 |
//! | another delimiter explains the text nearly as well | 1 − 0.4 × (share of the best score over one half) |
//! | nothing but its place makes the first row a header | 0.85 |
//! | no header | 0.8 |
//! | rows shorter than the header | 1 − half of their share |
//! | a column that stays text because two readings fit, or because of a cell or two; a pinned column that is not there | 0.95 each |
//! | a row that may sum up others; lines below a table that may be a table of two columns | 0.95 each |
//! | formulas without a stored value | 0.7 |
//! | a column of Parquet, Arrow or Avro whose type or values only texts hold | 0.95 each |
//! | columns of numbers with words among them; a column with values that its table's type does not hold | 0.95 each |
//! | the tables of a file are blocks, found by what stands around them | 0.95 |
//! | records of XML or of nested JSON, found by what repeats; lists of it for which there was no room | 0.9 each |
//! | rows between the blocks that are neither title nor pair | 1 − twice their share |
//! | readings that only their place in the file tells apart | 0.85 |
//! | lines left out because a cell too many shifts their values | 0.6 |
//! | most of its columns are not among those of its table's other files, which have others | 0.9 |
//! | dates of its folders that can be read day first and month first | 0.9 |
//! | a count that the file states itself and that was not found | 0.4 |
//!
//! Of several files (an archive) or sheets the least sure one counts. A column that an administrator pinned raises no doubt.

/// No reading that made a table is called impossible.
const PERCENT_MIN: u8 = 1;
/// Doubts listed; the rest are counted.
const SHOWN: usize = 5;

/// What speaks against a reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Confidence {
    doubts: Vec<(f64, String)>,
}

impl Confidence {
    /// A reading that multiplies the confidence by `factor`, in words.
    pub(crate) fn doubt(&mut self, factor: f64, why: impl Into<String>) {
        self.doubts.push((factor.clamp(0.0, 1.0), why.into()));
    }

    /// A doubt that weighs as much as its share: `part` of `of`, times `weight`.
    pub(super) fn doubt_share(&mut self, part: usize, of: usize, weight: f64, why: impl Into<String>) {
        if part > 0 && of > 0 {
            self.doubt(1.0 - weight * part as f64 / of as f64, why);
        }
    }

    /// Takes the doubts of a part of the same reading in.
    pub(super) fn extend(&mut self, other: Self) {
        self.doubts.extend(other.doubts);
    }

    /// Keeps whichever of two is less sure.
    pub(super) fn least(&mut self, other: Self) {
        if other.product() < self.product() {
            *self = other;
        }
    }

    /// In hundredths, from 1 to 100.
    pub(crate) fn percent(&self) -> u8 {
        let percent = (self.product() * 100.0).round().clamp(f64::from(PERCENT_MIN), 100.0);
        percent as u8
    }

    /// Why it is not 1; nothing when it is.
    pub(crate) fn doubts(&self) -> Option<String> {
        let shown: Vec<&str> = self.doubts.iter().take(SHOWN).map(|(_, why)| why.as_str()).collect();
        let rest = self.doubts.len() - shown.len();
        match (shown.is_empty(), rest) {
            (true, _) => None,
            (false, 0) => Some(shown.join("; ")),
            (false, rest) => Some(format!("{}; and {rest} more", shown.join("; "))),
        }
    }

    fn product(&self) -> f64 {
        self.doubts.iter().map(|(factor, _)| factor).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_multiply_and_are_told() {
        let mut confidence = Confidence::default();
        assert_eq!((confidence.percent(), confidence.doubts()), (100, None));
        confidence.doubt(0.8, "no header");
        confidence.doubt_share(1, 4, 0.5, "1 short row");
        confidence.doubt_share(0, 4, 0.5, "none");
        assert_eq!(confidence.percent(), 70);
        assert_eq!(confidence.doubts().as_deref(), Some("no header; 1 short row"));
        let mut least = Confidence::default();
        least.least(confidence.clone());
        least.least(Confidence::default());
        assert_eq!(least, confidence);
        confidence.doubt(0.0, "nothing of it");
        assert_eq!(confidence.percent(), 1);
    }
}
