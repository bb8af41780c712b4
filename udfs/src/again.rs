//! Whether a training that was done again gave what it gave before.

use crate::model::Model;
use crate::options::{Goal, TrainOptions};
use crate::stored::Stored;

/// Properties of a card that a training is told or finds before it learns, and how a difference is said. No names and no values: whoever
/// trains again need not see what was trained on.
const FOUND: [(&str, &str); 10] = [
    ("target", "the target"),
    ("kind", "the kind"),
    ("classes", "the classes"),
    ("features", "the features"),
    ("rows", "the number of rows"),
    ("rows_without_target", "the number of rows without a target"),
    ("group_by", "the groups"),
    ("seed", "the seed"),
    ("goal", "the goal"),
    ("time_budget_s", "the time budget"),
];

impl Model {
    /// In what a training with these options cannot repeat the one that made this model, in words; none if that is not to be seen yet.
    pub fn asked_otherwise(&self, options: &TrainOptions) -> Option<String> {
        let goal = match self.stored().task.classes() {
            [] => self.stored().goal,
            _ => Goal::Max,
        };
        let asked = [
            ("target", options.target == self.target()),
            ("seed", self.told("seed") == Some(&options.seed.to_string())),
            (
                "time_budget_s",
                self.told("time_budget_s") == Some(&options.time_budget.as_secs_f64().to_string()),
            ),
            ("goal", goal == options.goal),
        ];
        let unlike = |key: &str| asked.iter().any(|(asked, same)| *asked == key && !same);
        words(unlike)
    }

    /// In what this model is not the earlier one, in words; none if both are the same bytes, but for what older programs did not write.
    pub fn unlike(&self, earlier: &Self) -> Option<String> {
        if self.digest() == earlier.digest() || self.is_but_for_news(earlier) {
            return None;
        }
        let found = words(|key| self.told(key) != earlier.told(key));
        Some(found.unwrap_or_else(|| {
            "the values of its rows, or what the program makes of them (it may have been trained by an older one)"
                .to_owned()
        }))
    }

    fn told(&self, key: &str) -> Option<&String> {
        let card = &self.stored().card;
        card.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Whether the earlier one would have these bytes, had its program known what this one writes.
    fn is_but_for_news(&self, earlier: &Self) -> bool {
        let lacks_shares = earlier.stored().features.iter().all(|feature| feature.near.is_empty());
        let Ok(mut own) = serde_json::from_slice::<Stored>(&self.to_bytes()) else {
            return false;
        };
        own.format = earlier.stored().format;
        own.features.iter_mut().for_each(|feature| feature.near.clear());
        lacks_shares && serde_json::to_vec(&own).is_ok_and(|bytes| bytes == earlier.to_bytes())
    }
}

fn words(unlike: impl Fn(&str) -> bool) -> Option<String> {
    let found: Vec<&str> = FOUND
        .iter()
        .filter(|(key, _)| unlike(key))
        .map(|(_, said)| *said)
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}
