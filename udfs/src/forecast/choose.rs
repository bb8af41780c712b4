//! The method that would have erred least on the series' own past, and intervals as wide as its errors were.

use super::smooth::{Shape, Smoother, Trend, mean};

/// How often the past is cut to see what would have come out.
const CUTS: usize = 6;
/// A more intricate method must be better by so much.
const BETTER: f64 = 0.98;
/// Values below which nothing is chosen: the last one stands.
const CHOOSE_MIN: usize = 8;
/// Errors from which their own quantile is taken, instead of the normal one.
const ERRORS_MIN: usize = 20;

/// A series carried on.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) points: Vec<Point>,
    pub(super) method: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) mean: f64,
    /// None when the series is too short to tell.
    pub(super) bounds: Option<(f64, f64)>,
}

/// The methods, simple ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Naive,
    SeasonalNaive(usize),
    /// The straight line from the first value to the last, carried on.
    Drift,
    Smooth(Shape),
}

/// What a method says: the values, and how far off they may be in standard deviations of its own errors.
struct Said {
    means: Vec<f64>,
    spread: Vec<f64>,
}

/// Carries a series on for `horizon` periods.
pub(super) fn carry_on(values: &[Option<f64>], season: Option<usize>, horizon: usize, coverage: f64) -> Made {
    let known = values.iter().flatten().count();
    let last = values.iter().rev().flatten().next().copied().unwrap_or(0.0);
    if known < CHOOSE_MIN {
        // Of three values on there are errors to be had from the naive method.
        let said = (known >= 3).then(|| say(values, Method::Naive, horizon)).flatten();
        let z = normal_quantile(0.5 + coverage / 2.0);
        let point = |step: usize| Point {
            mean: last,
            bounds: said.as_ref().and_then(|said| {
                let spread = said.spread.get(step)?;
                Some((last - z * spread, last + z * spread))
            }),
        };
        return Made {
            points: (0..horizon).map(point).collect(),
            method: "naive",
        };
    }
    let mut best: Option<(f64, Method, Vec<f64>)> = None;
    for method in methods(season) {
        let Some((error, scaled)) = try_past(values, method, horizon) else {
            continue;
        };
        if best.as_ref().is_none_or(|(least, ..)| error < least * BETTER) {
            best = Some((error, method, scaled));
        }
    }
    let (method, scaled) = best.map_or((Method::Naive, Vec::new()), |(_, method, scaled)| (method, scaled));
    let said = say(values, method, horizon).unwrap_or_else(|| Said {
        means: vec![last; horizon],
        spread: vec![0.0; horizon],
    });
    let width = width(scaled, coverage);
    let points = said.means.iter().zip(&said.spread).map(|(mean, spread)| Point {
        mean: *mean,
        bounds: width.map(|width| (mean - width * spread, mean + width * spread)),
    });
    Made {
        points: points.collect(),
        method: method.name(),
    }
}

fn methods(season: Option<usize>) -> Vec<Method> {
    let smooth = |trend, season| Method::Smooth(Shape { trend, season });
    let mut methods = vec![Method::Naive, smooth(Trend::None, 0)];
    methods.extend(season.map(Method::SeasonalNaive));
    methods.push(smooth(Trend::Damped, 0));
    let seasonal = |trend| season.map(|season| smooth(trend, season));
    methods.extend(seasonal(Trend::None));
    methods.extend(seasonal(Trend::Damped));
    // What goes on for ever must have shown that it does.
    methods.extend([Method::Drift, smooth(Trend::Steady, 0)]);
    methods.extend(seasonal(Trend::Steady));
    methods
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::SeasonalNaive(_) => "seasonal naive",
            Self::Drift => "drift",
            Self::Smooth(Shape { trend, season: 0 }) => match trend {
                Trend::None => "exponential smoothing",
                Trend::Damped => "damped trend",
                Trend::Steady => "trend",
            },
            Self::Smooth(Shape { trend, .. }) => match trend {
                Trend::None => "seasonal smoothing",
                Trend::Damped => "seasonal damped trend",
                Trend::Steady => "seasonal trend",
            },
        }
    }
}

fn say(values: &[Option<f64>], method: Method, horizon: usize) -> Option<Said> {
    match method {
        Method::Naive => repeat(values, 1, horizon),
        Method::SeasonalNaive(season) => repeat(values, season, horizon),
        Method::Drift => drift(values, horizon),
        Method::Smooth(shape) => {
            let smoother = Smoother::fit(values, shape)?;
            Some(Said {
                means: smoother.carry_on(horizon),
                spread: smoother.spread(horizon),
            })
        }
    }
}

/// The value of one season before, again and again.
fn repeat(values: &[Option<f64>], season: usize, horizon: usize) -> Option<Said> {
    if values.len() < season + 1 {
        return None;
    }
    let before = |place: usize| -> Option<f64> {
        // The newest value at the same place of the season.
        (0..=place / season).find_map(|cycles| values.get(place - cycles * season).copied().flatten())
    };
    let means: Vec<f64> = (0..horizon)
        .map(|step| before(values.len() - season + step % season))
        .collect::<Option<_>>()?;
    let squares = values
        .iter()
        .zip(values.iter().skip(season))
        .filter_map(|(a, b)| Some(((*b)? - (*a)?).powi(2)));
    let deviation = mean(squares)?.sqrt();
    let spread = (0..horizon).map(|step| deviation * ((step / season + 1) as f64).sqrt());
    Some(Said {
        means,
        spread: spread.collect(),
    })
}

/// As much more each period as it was on average (Hyndman and Athanasopoulos, "Forecasting: principles and practice", 2021, section 5.2).
fn drift(values: &[Option<f64>], horizon: usize) -> Option<Said> {
    let mut known = values
        .iter()
        .enumerate()
        .filter_map(|(place, value)| Some((place, (*value)?)));
    let (from, first) = known.next()?;
    let (to, last) = known.next_back()?;
    let steps = (to - from) as f64;
    let slope = (last - first) / steps;
    let pairs = values.iter().zip(values.iter().skip(1));
    let squares = pairs.filter_map(|(a, b)| Some(((*b)? - (*a)? - slope).powi(2)));
    let deviation = mean(squares)?.sqrt();
    // The series may have ended before the others.
    let since = (values.len() - 1 - to) as f64;
    let ahead = || (1..=horizon).map(|step| step as f64 + since);
    Some(Said {
        means: ahead().map(|ahead| last + slope * ahead).collect(),
        spread: ahead()
            .map(|ahead| deviation * (ahead * (1.0 + ahead / steps)).sqrt())
            .collect(),
    })
}

/// The root of the mean squared error over cuts of the past (what comes is added up, so means count and not medians: a reagent
/// that is used on one day in ten is not used up by none), and the errors in standard deviations as the method saw them.
fn try_past(values: &[Option<f64>], method: Method, horizon: usize) -> Option<(f64, Vec<f64>)> {
    let ahead = horizon.min((values.len() / 4).max(1));
    let first = (values.len() / 2).max(CHOOSE_MIN / 2);
    let last = values.len() - ahead.min(values.len());
    let cuts = CUTS.min((last.saturating_sub(first) + 1).max(1));
    let mut errors = Vec::new();
    let mut scaled = Vec::new();
    for cut in 0..cuts {
        let at = last.saturating_sub(cut * (last.saturating_sub(first) / cuts.max(1)).max(1));
        let (past, future) = values.split_at_checked(at)?;
        let said = say(past, method, ahead)?;
        for ((value, mean), spread) in future.iter().zip(&said.means).zip(&said.spread) {
            let Some(value) = value else { continue };
            let error = (value - mean).abs();
            errors.push(error);
            if *spread > 0.0 {
                scaled.push(error / spread);
            }
        }
    }
    Some((mean(errors.into_iter().map(|error: f64| error * error))?.sqrt(), scaled))
}

/// Standard deviations that hold the share `coverage` of the errors; none where there are too few errors to speak for that share.
fn width(mut scaled: Vec<f64>, coverage: f64) -> Option<f64> {
    /// What a product of two decimals may be off by.
    const ROUNDING: f64 = 1e-9;
    if scaled.len() < ERRORS_MIN {
        return Some(normal_quantile(0.5 + coverage / 2.0));
    }
    scaled.sort_by(f64::total_cmp);
    let place = ((scaled.len() + 1) as f64 * coverage - ROUNDING).ceil() as usize;
    scaled.get(place.saturating_sub(1)).copied()
}

/// The normal distribution's quantile (Acklam's rational approximation, relative error below 1.2e-9).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let poly = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| poly(&C, q) / (poly(&D, q) * q + 1.0);
    match p {
        p if p < 0.024_25 => tail((-2.0 * p.ln()).sqrt()),
        p if p > 0.975_75 => -tail((-2.0 * (1.0 - p).ln()).sqrt()),
        p => {
            let q = p - 0.5;
            let r = q * q;
            poly(&A, r) * q / (poly(&B, r) * r + 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (p, z) in [
            (0.5, 0.0),
            (0.9, 1.281_551_6),
            (0.975, 1.959_964),
            (0.01, -2.326_347_9),
            (0.995, 2.575_829_3),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-6, "{p}: {}", normal_quantile(p));
        }
    }

    #[test]
    fn errors_speak_for_no_more_than_there_are() {
        let errors: Vec<f64> = (1..=40).map(f64::from).collect();
        assert_eq!(width(errors.clone(), 0.9), Some(37.0));
        assert_eq!(width(errors.clone(), 0.975), Some(40.0));
        assert_eq!(width(errors, 0.99), None);
    }

    #[test]
    fn a_short_series_is_carried_on_naively() {
        for (values, bounded) in [
            (vec![Some(3.0)], false),
            (vec![Some(1.0), None, Some(2.0), Some(3.0)], true),
        ] {
            let made = carry_on(&values, Some(7), 3, 0.9);
            assert_eq!((made.method, made.points.len()), ("naive", 3));
            for point in made.points {
                assert_eq!((point.mean, point.bounds.is_some()), (3.0, bounded));
            }
        }
    }
}
