//! A feature: one column as the model remembers it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::chem::{Chem, Remembered};

/// How the model reads a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// Any number; text that reads as a number is accepted, other text counts as NULL.
    Number,
    /// Text: each value is a level of its own.
    Category,
    /// 0 or 1.
    Boolean,
    /// Dates and timestamps, as days since 1970-01-01 (UTC).
    Time,
    /// SMILES: each molecule is a level, and a molecule that training did not see is known by its structure.
    Smiles,
    /// Prose: what its words are, and beside which; no text is known as such.
    Text,
}

/// One input of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name in the training query.
    pub name: String,
    pub kind: FeatureKind,
    /// The Arrow type a caller would naturally pass: Int64, Float64, Boolean, Utf8, Date32 or Timestamp(µs). Any other readable
    /// type is accepted too.
    #[serde(with = "input_type")]
    pub input_type: DataType,
    /// Categories only: the levels known from training, in sorted order; level `i` has code `FIRST_LEVEL + i`.
    pub(crate) levels: Vec<String>,
    /// Prose only: some of the training's texts, which the baseline numbers as levels are numbered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) examples: Vec<String>,
    /// What the training rows held, in few weighted values: the yardstick of explanations.
    pub(crate) baseline: Vec<Baseline>,
    /// Numbers only: the share of the known training values that are nearest to each value of the baseline, which its weight is not where values
    /// come in clusters or again and again; not known of models that older programs made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) near: Vec<f64>,
    /// What the baseline does not stand for; not known of models that older programs made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rest: Option<Rest>,
    /// SMILES and prose only: the levels as molecules, the examples as their words, read from their text when first needed.
    #[serde(skip)]
    pub(crate) molecules: OnceLock<Arc<Vec<Option<Chem>>>>,
    #[serde(skip)]
    pub(crate) remembered: Remembered,
    /// Categories only: the levels as names to compare, made when first needed.
    #[serde(skip)]
    pub(crate) names: OnceLock<Arc<Vec<Option<Chem>>>>,
}

/// A value and the share of training rows it stands for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Baseline {
    Number { value: f64, weight: f64 },
    Level { code: u32, weight: f64 },
}

/// Shares of the training rows that no baseline value stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// NULL in a number; NULL in a category is a level.
    pub(crate) null: f64,
    /// Levels that are too rare for the baseline.
    pub(crate) other: f64,
}

impl Rest {
    /// The share that the baseline stands for.
    pub(crate) fn told(self) -> f64 {
        (1.0 - self.null - self.other).clamp(0.0, 1.0)
    }
}

/// The code of a NULL category.
pub(crate) const NULL_LEVEL: u32 = 0;
/// The code of a category that training did not see, or did not keep.
pub(crate) const UNSEEN_LEVEL: u32 = 1;
/// The code of the first known level.
pub(crate) const FIRST_LEVEL: u32 = 2;

impl Default for Feature {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: FeatureKind::Number,
            input_type: DataType::Float64,
            levels: Vec::new(),
            examples: Vec::new(),
            baseline: Vec::new(),
            near: Vec::new(),
            rest: None,
            molecules: OnceLock::new(),
            remembered: Remembered::default(),
            names: OnceLock::new(),
        }
    }
}

impl Feature {
    /// The same for somebody else: what he asks about is remembered apart.
    pub(crate) fn apart(&self) -> Self {
        if self.has_structures() {
            // Parsed once for everybody: they are the training's.
            let _ = self.molecules();
        }
        Self {
            remembered: Remembered::default(),
            ..self.clone()
        }
    }

    /// How many codes a category has, the two special ones included.
    pub(crate) fn codes(&self) -> usize {
        self.levels.len() + FIRST_LEVEL as usize
    }

    /// The value of the baseline that a number is nearest to, of two as near the lower; `None` for NULL and where there are no numbers.
    pub(crate) fn nearest(&self, number: f64) -> Option<usize> {
        if number.is_nan() {
            return None;
        }
        let far = |(place, baseline): (usize, &Baseline)| match baseline {
            Baseline::Number { value, .. } => Some((place, (number - value).abs())),
            Baseline::Level { .. } => None,
        };
        let all = self.baseline.iter().enumerate().filter_map(far);
        all.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(place, _)| place)
    }

    /// Whether its values are levels.
    pub(crate) fn has_levels(&self) -> bool {
        matches!(
            self.kind,
            FeatureKind::Category | FeatureKind::Smiles | FeatureKind::Text
        )
    }

    /// Whether its values are known by what they are made of.
    pub(crate) fn has_structures(&self) -> bool {
        matches!(self.kind, FeatureKind::Smiles | FeatureKind::Text)
    }

    /// The texts of the codes from the first level on.
    pub(crate) fn known_texts(&self) -> &[String] {
        match self.kind {
            FeatureKind::Text => &self.examples,
            _ => &self.levels,
        }
    }

    /// How many known texts it has.
    pub(crate) fn structures(&self) -> usize {
        self.known_texts().len()
    }

    /// The known texts as molecules, or as their words; `None` for what is none.
    pub(crate) fn molecules(&self) -> &Arc<Vec<Option<Chem>>> {
        let structure = |text: &String| match self.kind {
            FeatureKind::Text => Some(Chem::of_text(text)),
            _ => Chem::of(text),
        };
        self.molecules
            .get_or_init(|| Arc::new(self.known_texts().iter().map(structure).collect()))
    }

    /// A text that is none of the levels, by what it is made of; `None` for what is no molecule.
    pub(crate) fn met(&self, text: &str) -> Option<Arc<Chem>> {
        match self.kind {
            // Prose seldom comes twice: it is read faster than remembered.
            FeatureKind::Text => Some(Arc::new(Chem::of_text(text))),
            _ => self.remembered.get(text),
        }
    }

    /// The levels as names to compare.
    pub(crate) fn names(&self) -> &Arc<Vec<Option<Chem>>> {
        let name = |level: &String| Some(Chem::of_name(level));
        self.names
            .get_or_init(|| Arc::new(self.levels.iter().map(name).collect()))
    }

    /// From a level's text to its code, for about `times` questions: a table is only built when it pays.
    pub(crate) fn lookup(&self, times: usize) -> impl Fn(&str) -> u32 {
        let table: Option<HashMap<&str, u32>> = (times * 4 >= self.levels.len()).then(|| {
            self.levels
                .iter()
                .zip(FIRST_LEVEL..)
                .map(|(level, code)| (level.as_str(), code))
                .collect()
        });
        move |text| match &table {
            Some(table) => table.get(text).copied().unwrap_or(UNSEEN_LEVEL),
            None => match self.levels.binary_search_by(|level| level.as_str().cmp(text)) {
                Ok(level) => FIRST_LEVEL + level as u32,
                Err(_) => UNSEEN_LEVEL,
            },
        }
    }
}

/// Arrow types have no stable text; these six names are ours.
mod input_type {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::{DataType, TimeUnit};

    pub(super) fn serialize<S: Serializer>(data_type: &DataType, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(match data_type {
            DataType::Int64 => "int",
            DataType::Float64 => "float",
            DataType::Boolean => "boolean",
            DataType::Date32 => "date",
            DataType::Timestamp(_, _) => "timestamp",
            _ => "text",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<DataType, D::Error> {
        let name = String::deserialize(input)?;
        Ok(match name.as_str() {
            "int" => DataType::Int64,
            "float" => DataType::Float64,
            "boolean" => DataType::Boolean,
            "date" => DataType::Date32,
            "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "text" => DataType::Utf8,
            other => return Err(D::Error::custom(format!("input type '{other}' is not known"))),
        })
    }
}
