//! What a model file holds, and whether it is whole.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::candidate::Fitted;
use crate::domain::Domain;
use crate::error::PredictError;
use crate::feature::{Baseline, Feature};
use crate::kernel::Kernel;
use crate::onnx::Onnx;
use crate::options::Goal;
use crate::report::LeaderboardRow;
use crate::task::Task;

/// What a model file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) format: u32,
    pub(crate) target: String,
    pub(crate) task: Task,
    pub(crate) rows: usize,
    pub(crate) features: Vec<Feature>,
    pub(crate) members: Vec<Member>,
    pub(crate) leaderboard: Vec<LeaderboardRow>,
    pub(crate) importance: Vec<(String, f64)>,
    pub(crate) card: Vec<(String, String)>,
    pub(crate) domain: Domain,
    /// Of numbers only: classes have probabilities.
    pub(crate) calibration: Option<Calibration>,
    /// Of numbers only: what knows how much it does not know, for the choice of experiments.
    pub(crate) surrogate: Vec<Kernel>,
    /// Least and greatest target.
    pub(crate) range: (f64, f64),
    /// Weights for rows with a level that training did not see, by feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) beyond: Vec<Beyond>,
    /// Of an imported model: what answers in place of members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) onnx: Option<Onnx>,
    /// Training rows as numbers made of their features, sorted.
    pub(crate) run: Vec<u64>,
    /// Whether these are made of texts, and not of the levels' codes, as older programs did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) run_by_text: bool,
    /// What is wanted of the target. The surrogates of a model that wants less are of the target's negative.
    #[serde(default, skip_serializing_if = "Goal::is_max")]
    pub(crate) goal: Goal,
    /// Columns whose novelty the time left to measure; none if it left all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) novel_in_time: Option<usize>,
    /// Columns of levels that the time left for what was unseen; none if it left all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unseen_in_time: Option<usize>,
}

/// A fitted candidate and its weight in the mean.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// One model per output.
    pub(crate) fitted: Vec<Fitted>,
}

/// The members' weights where a feature has a level that training did not see.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Beyond {
    pub(crate) feature: usize,
    pub(crate) weights: Vec<f64>,
}

impl Stored {
    /// The best value of the target that training met, as surrogates see it: more is better.
    pub(crate) fn best(&self) -> f64 {
        match self.goal {
            Goal::Max => self.range.1,
            Goal::Min => -self.range.0,
        }
    }

    /// Everything that prediction relies on: references within bounds, numbers finite.
    pub(crate) fn check(&self) -> Result<(), PredictError> {
        let damaged = |what: &str| Err(PredictError::Damaged(what.to_owned()));
        if (self.members.is_empty() && self.onnx.is_none()) || !self.members.iter().all(|m| m.weight.is_finite()) {
            return damaged("it has no members");
        }
        let outputs = match self.task.classes().len() {
            0 | 2 => 1,
            1 => return damaged("it has one class only"),
            more => more,
        };
        if self.members.iter().any(|member| member.fitted.len() != outputs) {
            return damaged("a member lacks an output");
        }
        let sound = |member: &&Member| member.fitted.iter().all(|fitted| fitted.is_sound(self.features.len()));
        if let Some(member) = self.members.iter().find(|member| !sound(member)) {
            return damaged(&format!("member '{}' refers to what is not there", member.name));
        }
        if let Some(onnx) = &self.onnx {
            onnx.check(&self.features, outputs)?;
        }
        let beyond = |beyond: &Beyond| {
            beyond.feature < self.features.len()
                && beyond.weights.len() == self.members.len()
                && beyond.weights.iter().all(|weight| weight.is_finite())
        };
        if !self.beyond.iter().all(beyond) {
            return damaged("its weights for unseen levels do not fit its members");
        }
        let mut names = HashSet::new();
        if !self.features.iter().all(|f| names.insert(&f.name)) {
            return damaged("two features have one name");
        }
        if !self.features.iter().all(|f| f.levels.is_sorted()) {
            return damaged("a feature's levels are not sorted");
        }
        let baselines = self.features.iter().flat_map(|f| &f.baseline);
        let finite = |b: &Baseline| match b {
            Baseline::Number { value, weight } => value.is_finite() && weight.is_finite(),
            Baseline::Level { weight, .. } => weight.is_finite(),
        };
        let near = |f: &Feature| f.near.is_empty() || f.near.len() == f.baseline.len();
        if !self
            .features
            .iter()
            .all(|f| near(f) && f.near.iter().all(|share| share.is_finite()))
        {
            return damaged("the shares of a feature's numbers are not one for each");
        }
        let sound = self.surrogate.iter().all(|kernel| kernel.is_sound(self.features.len()));
        if !sound || !self.range.0.is_finite() || !self.range.1.is_finite() || !self.run.is_sorted() {
            return damaged("what experiments are chosen by is not whole");
        }
        let calibrated = self
            .calibration
            .as_ref()
            .is_none_or(|c| c.is_sound(self.features.len()));
        if !baselines.into_iter().all(finite) || !calibrated || !self.domain.is_sound(&self.features) {
            return damaged("a number is not finite or out of bounds");
        }
        Ok(())
    }
}
