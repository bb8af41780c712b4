//! What is done with scores at the end: ONNX's `post_transform`.

use super::proto::NodeProto;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Softmax,
    /// As softmax, but a score of zero stays zero.
    SoftmaxZero,
    Logistic,
}

impl After {
    pub(super) fn read(node: &NodeProto) -> Result<Self, String> {
        Ok(match node.text("post_transform").as_deref() {
            None | Some("NONE") => Self::Nothing,
            Some("SOFTMAX") => Self::Softmax,
            Some("SOFTMAX_ZERO") => Self::SoftmaxZero,
            Some("LOGISTIC") => Self::Logistic,
            Some(other) => return Err(format!("the post transform {other}")),
        })
    }

    pub(super) fn apply(self, scores: &mut [f64]) {
        match self {
            Self::Nothing => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = Self::logistic(*score)),
            Self::Softmax => Self::softmax(scores, |_| false),
            Self::SoftmaxZero => Self::softmax(scores, |score| score.abs() < 1e-7),
        }
    }

    pub(super) fn logistic(score: f64) -> f64 {
        1.0 / (1.0 + (-score).exp())
    }

    pub(super) fn softmax(scores: &mut [f64], stays: impl Fn(f64) -> bool) {
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        for score in scores.iter_mut().filter(|score| !stays(**score)) {
            *score = (*score - most).exp();
            sum += *score;
        }
        if sum > 0.0 {
            scores.iter_mut().for_each(|score| *score /= sum);
        }
    }
}
