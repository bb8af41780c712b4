//! A value against its own history: has it moved, is it an outlier? Numbers in, verdict out.

use labhouse_udfs::robust_z;

use super::definition::{Direction, Rule};
use super::state::Reading;

/// Periods of history below which nothing is called an outlier: a median of fewer says little of the spread.
const HISTORY_MIN: usize = 7;
/// What the newest value of a series says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    Holds(Reading),
    Fine,
    /// Too little history to judge by.
    Unknown,
}

/// Judges a series, newest value first; periods without a value are not in it.
pub(super) fn judge(rule: &Rule, values: &[f64]) -> Verdict {
    let Some((newest, before)) = values.split_first() else {
        return Verdict::Unknown;
    };
    match rule {
        Rule::Moves {
            direction,
            by,
            percent,
            series,
            ..
        } => {
            let history = before.get(..series.against.min(before.len())).unwrap_or_default();
            if history.is_empty() {
                return Verdict::Unknown;
            }
            let mean = mean(history);
            let moved = newest - mean;
            let moved = match (percent, mean == 0.0) {
                (false, _) => moved,
                (true, false) => 100.0 * moved / mean.abs(),
                (true, true) if moved == 0.0 => 0.0,
                (true, true) => f64::INFINITY.copysign(moved),
            };
            let holds = match direction {
                Direction::Falls => -moved >= *by,
                Direction::Rises => moved >= *by,
                Direction::Changes => moved.abs() >= *by,
            };
            let unit = if *percent { " %" } else { "" };
            verdict(
                holds,
                *newest,
                format!(
                    "{} moved by {}{unit} from the mean of {} before, {}",
                    shown(*newest),
                    shown(moved),
                    history.len(),
                    shown(mean)
                ),
            )
        }
        Rule::Deviates { beyond, series, .. } => {
            let history = before.get(..series.against.min(before.len())).unwrap_or_default();
            if history.len() < HISTORY_MIN.min(series.against) {
                return Verdict::Unknown;
            }
            let (score, median) = robust_z(*newest, history);
            verdict(
                score.abs() >= *beyond,
                *newest,
                format!(
                    "{} is {} robust standard deviations from the median of {} before, {}",
                    shown(*newest),
                    shown(score),
                    history.len(),
                    shown(median)
                ),
            )
        }
        Rule::Rows { .. } | Rule::Aggregate { .. } | Rule::NoNewRows { .. } => Verdict::Unknown,
    }
}

fn verdict(holds: bool, value: f64, against: String) -> Verdict {
    if !holds {
        return Verdict::Fine;
    }
    Verdict::Holds(Reading {
        value: Some(value),
        against: Some(against),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Four digits are enough to read.
pub(super) fn shown(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return format!("{number}");
    }
    let digits = (3 - number.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::Series;
    use super::*;

    fn series(against: usize) -> Series {
        Series {
            unit: "day".into(),
            time: "t".into(),
            against,
        }
    }

    fn moves(direction: Direction, by: f64, percent: bool) -> Rule {
        Rule::Moves {
            value: "avg(x)".into(),
            direction,
            by,
            percent,
            series: series(3),
        }
    }

    fn holds(rule: &Rule, values: &[f64]) -> Option<bool> {
        match judge(rule, values) {
            Verdict::Holds(_) => Some(true),
            Verdict::Fine => Some(false),
            Verdict::Unknown => None,
        }
    }

    #[test]
    fn a_fall_is_told_from_a_rise_and_from_noise() {
        let falls = moves(Direction::Falls, 10.0, true);
        assert_eq!(holds(&falls, &[89.0, 100.0, 101.0, 99.0]), Some(true));
        assert_eq!(holds(&falls, &[91.0, 100.0, 101.0, 99.0]), Some(false));
        assert_eq!(holds(&falls, &[120.0, 100.0, 101.0, 99.0]), Some(false));
        // Only the three before count.
        assert_eq!(holds(&falls, &[89.0, 90.0, 90.0, 90.0, 1e6]), Some(false));
        assert_eq!(holds(&moves(Direction::Rises, 5.0, false), &[15.0, 10.0]), Some(true));
        assert_eq!(holds(&moves(Direction::Changes, 5.0, false), &[4.0, 10.0]), Some(true));
        assert_eq!(
            holds(&moves(Direction::Rises, 50.0, true), &[0.1, 0.0, 0.0]),
            Some(true)
        );
        assert_eq!(holds(&falls, &[0.0, 0.0]), Some(false));
        assert_eq!(holds(&falls, &[89.0]), None);
        assert_eq!(holds(&falls, &[]), None);
    }

    #[test]
    fn an_outlier_is_found_beside_older_outliers() {
        let rule = Rule::Deviates {
            value: "avg(x)".into(),
            beyond: 3.5,
            series: series(28),
        };
        let quiet = [10.0, 10.2, 9.9, 10.1, 9.8, 10.0, 10.3, 9.7, 40.0];
        let with = |newest: f64| [&[newest], quiet.as_slice()].concat();
        assert_eq!(holds(&rule, &with(10.4)), Some(false));
        assert_eq!(holds(&rule, &with(12.0)), Some(true));
        assert_eq!(holds(&rule, &with(8.0)), Some(true));
        // Constant but for one: the mean deviation stands in; wholly constant: any other value is one.
        assert_eq!(holds(&rule, &[5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]), Some(false));
        assert_eq!(holds(&rule, &[5.1, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]), Some(true));
        assert_eq!(holds(&rule, &[9.0, 1.0, 2.0]), None, "too little history");
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (45.678_91, "45.68"),
            (-0.012_345, "-0.01235"),
            (123_456.7, "123457"),
            (1_200.0, "1200"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(shown(number), text);
        }
    }
}
