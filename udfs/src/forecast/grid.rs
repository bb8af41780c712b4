//! Moments as they come, put on periods of one length.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Months, NaiveDate};

use super::{Period, Together};

/// Microseconds.
pub(super) const DAY: i64 = 86_400_000_000;
const SECOND: i64 = 1_000_000;
/// Lengths of a period below a month.
const LENGTHS: [i64; 17] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    60 * SECOND,
    300 * SECOND,
    600 * SECOND,
    900 * SECOND,
    1_800 * SECOND,
    3_600 * SECOND,
    2 * 3_600 * SECOND,
    4 * 3_600 * SECOND,
    6 * 3_600 * SECOND,
    12 * 3_600 * SECOND,
    DAY,
    7 * DAY,
];
/// The share of periods between the first and the last moment that must have one, or the moments came in bursts and their gaps say nothing…
const FULL_MIN: f64 = 0.2;
/// …and then the shortest longer period is taken of which more than this share has one.
const FULL_OF_BURSTS: f64 = 0.6;
/// Days between two months, at least.
const MONTH_DAYS_MIN: i64 = 26;
/// Periods of the past that are looked at: what is older says nothing of what comes next.
const PAST_MAX: i64 = 2_000;

/// The values of one series by moment: their sum and number.
#[derive(Debug, Default)]
pub(super) struct Points(BTreeMap<i64, (f64, u32)>);

impl Points {
    /// Takes a value in; whether the moment is a new one.
    pub(super) fn add(&mut self, micros: i64, value: f64) -> bool {
        let known = self.0.len();
        let entry = self.0.entry(micros).or_default();
        entry.0 += value;
        entry.1 = entry.1.saturating_add(1);
        self.0.len() > known
    }
}

/// Periods of one length, counted from an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    length: Length,
    /// The first and the last period of any series, but for mistyped times.
    begin: i64,
    end: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Micros {
        length: i64,
        /// Where a period begins: weeks begin at the first day that is there.
        origin: i64,
    },
    Month,
}

impl Grid {
    /// Periods of the length that is asked for, or else of one that fits the moments; none if there are no moments.
    pub(super) fn of<'a>(series: impl Iterator<Item = &'a Points> + Clone, period: Option<Period>) -> Option<Self> {
        let moments = || series.clone().flat_map(|points| points.0.keys().copied());
        let (first, last) = extent(&moments().collect())?;
        let mut gaps: Vec<i64> = series
            .clone()
            .flat_map(|points| points.0.keys().zip(points.0.keys().skip(1)).map(|(a, b)| b - a))
            .collect();
        gaps.sort_unstable();
        let gap = gaps.get(gaps.len() / 2).copied().unwrap_or(DAY);
        let days_only = moments().all(|moment| moment.rem_euclid(DAY) == 0);
        let of = |length: i64| Length::Micros {
            length,
            // Weeks begin at the first day that is there.
            origin: if length == 7 * DAY {
                first.div_euclid(DAY) * DAY
            } else {
                0
            },
        };
        let length = match period {
            Some(Period::Month) => Length::Month,
            Some(Period::Micros(length)) => of(length),
            None if gap >= MONTH_DAYS_MIN * DAY => Length::Month,
            None => {
                // Half as long again: gaps of two periods are gaps, not periods.
                let fits = |length: &&i64| **length <= gap + gap / 2;
                let longest = LENGTHS.iter().rev().find(fits).copied().unwrap_or(SECOND);
                let usual = if days_only { longest.max(DAY) } else { longest };
                let full = |length: i64| of(length).full(series.clone(), first..=last);
                if full(usual) >= FULL_MIN {
                    of(usual)
                } else {
                    let mut longer = LENGTHS.iter().copied().filter(|length| *length > usual);
                    let found = longer.find(|length| full(*length) > FULL_OF_BURSTS);
                    found.map_or(Length::Month, of)
                }
            }
        };
        Some(Self {
            length,
            begin: length.period(first),
            end: length.period(last),
        })
    }

    /// Whether periods begin with days.
    pub(super) fn has_whole_days(&self) -> bool {
        match self.length {
            Length::Month => true,
            Length::Micros { length, .. } => length % DAY == 0,
        }
    }

    /// The length of a period in words.
    pub(super) fn period(&self) -> String {
        let (count, unit) = match self.length {
            Length::Month => (1, "month"),
            Length::Micros { length, .. } => {
                let units = [
                    (7 * DAY, "week"),
                    (DAY, "day"),
                    (3_600 * SECOND, "hour"),
                    (60 * SECOND, "minute"),
                ];
                let whole = units.into_iter().find(|(unit, _)| length % unit == 0);
                whole.map_or((length / SECOND, "second"), |(unit, name)| (length / unit, name))
            }
        };
        if count == 1 {
            unit.to_owned()
        } else {
            format!("{count} {unit}s")
        }
    }

    /// Periods after which a pattern comes again: a week of days, a day of hours, a year of months.
    pub(super) fn season(&self) -> Option<usize> {
        match self.length {
            Length::Month => Some(12),
            Length::Micros { length, .. } if length == 7 * DAY => Some(52),
            Length::Micros { length: DAY, .. } => Some(7),
            Length::Micros { length, .. } if (1_800 * SECOND..DAY).contains(&length) && DAY % length == 0 => {
                usize::try_from(DAY / length).ok()
            }
            Length::Micros { .. } => None,
        }
    }

    /// The values of a series, period by period to the end of all.
    pub(super) fn values(&self, points: &Points, together: Together) -> Vec<Option<f64>> {
        let Some(first) = points.0.keys().next() else {
            return Vec::new();
        };
        let from = self.length.period(*first).max(self.begin).max(self.end - PAST_MAX + 1);
        let count = usize::try_from(self.end - from + 1).unwrap_or(0);
        let mut sums = vec![(0.0, 0_u32); count];
        for (moment, (sum, number)) in &points.0 {
            let place = usize::try_from(self.length.period(*moment) - from).ok();
            if let Some(period) = place.and_then(|place| sums.get_mut(place)) {
                period.0 += sum;
                period.1 = period.1.saturating_add(*number);
            }
        }
        sums.into_iter()
            .map(|(sum, number)| match (together, number) {
                (Together::Sum, _) => Some(sum),
                (Together::Mean, 0) => None,
                (Together::Mean, number) => Some(sum / f64::from(number)),
            })
            .collect()
    }

    /// Moments of a series that are taken for mistyped ones, and have no part in its values.
    pub(super) fn mistyped(&self, points: &Points) -> usize {
        let periods = points.0.keys().map(|moment| self.length.period(*moment));
        periods
            .filter(|period| !(self.begin..=self.end).contains(period))
            .count()
    }

    /// The beginning of the period that is so many after the last, in microseconds.
    pub(super) fn after_end(&self, steps: usize) -> i64 {
        let period = self.end + i64::try_from(steps).unwrap_or(0);
        self.length.begin(period)
    }
}

/// The first and the last moment. A few that lie alone, farther from all others than those are apart, are mistyped (a year 2062 among
/// months of 2026), and would make the others' time the past. What goes on there as it did elsewhere is none: the lab had a break.
fn extent(moments: &BTreeSet<i64>) -> Option<(i64, i64)> {
    /// One in so many may be mistyped.
    const FEW: usize = 20;
    let all: Vec<i64> = moments.iter().copied().collect();
    let (first, last) = (*all.first()?, *all.last()?);
    let steps = || {
        all.windows(2)
            .enumerate()
            .filter_map(|(at, step)| Some((at + 1, *step.first()?, *step.last()?)))
    };
    let is_few = |few: usize| few * FEW <= all.len() - few;
    let alone = |(rest, few): (&[i64], &[i64])| !goes_on(few, rest);
    let end = steps().find(|(at, before, after)| {
        is_few(all.len() - at)
            && after.saturating_sub(*before) > before.saturating_sub(first)
            && all.split_at_checked(*at).is_some_and(alone)
    });
    let end = end.map_or(last, |(_, before, _)| before);
    let begin = steps()
        .rev()
        .filter(|(_, before, _)| *before < end)
        .find(|(at, before, after)| {
            is_few(*at)
                && after.saturating_sub(*before) > end.saturating_sub(*after)
                && all.split_at_checked(*at).is_some_and(|(few, rest)| alone((rest, few)))
        });
    Some((begin.map_or(first, |(_, _, after)| after), end))
}

/// Whether some of a few moments follow each other about as the rest do, for some time.
fn goes_on(few: &[i64], rest: &[i64]) -> bool {
    /// Moments that are a run.
    const RUN: i64 = 3;
    /// Usual steps between two moments of a run at most: seven days between readings where others were daily, and one missed.
    const STEPS_MAX: i64 = 8;
    let span = |run: &[i64]| match run {
        [first, .., last] => last.saturating_sub(*first),
        _ => 0,
    };
    let usual = (span(rest) / i64::try_from(rest.len()).unwrap_or(i64::MAX).max(2)).max(1);
    let mut runs = few.chunk_by(|a, b| b.saturating_sub(*a) <= usual.saturating_mul(STEPS_MAX));
    // A burst within one usual step, as of one file, is no run.
    runs.any(|run| {
        i64::try_from(run.len()).is_ok_and(|count| count >= RUN) && span(run) >= usual.saturating_mul(RUN - 1)
    })
}

impl Length {
    /// The share of a series' periods, from its first to its last, that has a moment; of several the mean, by their periods.
    fn full<'a>(self, series: impl Iterator<Item = &'a Points>, within: RangeInclusive<i64>) -> f64 {
        let (mut with, mut all) = (0, 0);
        for points in series {
            let mut last = None;
            for moment in points.0.keys().filter(|moment| within.contains(moment)) {
                let period = self.period(*moment);
                if last != Some(period) {
                    with += 1;
                    all += last.map_or(1, |last: i64| period - last);
                    last = Some(period);
                }
            }
        }
        with as f64 / all.max(1) as f64
    }

    fn period(self, micros: i64) -> i64 {
        match self {
            Self::Micros { length, origin } => (micros - origin).div_euclid(length),
            Self::Month => DateTime::from_timestamp_micros(micros)
                .map_or(0, |time| i64::from(time.year()) * 12 + i64::from(time.month0())),
        }
    }

    fn begin(self, period: i64) -> i64 {
        match self {
            Self::Micros { length, origin } => period.saturating_mul(length).saturating_add(origin),
            Self::Month => {
                let months = u32::try_from(period).unwrap_or(0);
                let start =
                    NaiveDate::from_ymd_opt(0, 1, 1).and_then(|start| start.checked_add_months(Months::new(months)));
                start.map_or(0, |day| {
                    day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(moments: &[i64]) -> Points {
        let mut points = Points::default();
        for moment in moments {
            points.add(*moment, 1.0);
        }
        points
    }

    fn grid(moments: &[i64]) -> Grid {
        Grid::of([points(moments)].iter(), None).unwrap()
    }

    #[test]
    fn a_mistyped_year_moves_no_end() {
        let days: Vec<i64> = (0..60).map(|day| day * DAY).collect();
        let with = |strays: &[i64]| [points(&days), points(strays)];
        let wanted = grid(&days);
        let year = 365 * DAY;
        for strays in [vec![36 * year], vec![-56 * year], vec![36 * year, 37 * year]] {
            let all = with(&strays);
            let found = Grid::of(all.iter(), None).unwrap();
            assert_eq!(found, wanted, "{strays:?}");
            assert_eq!(found.values(&all[0], Together::Sum).len(), 60);
            let stray: Option<f64> = found.values(&all[1], Together::Sum).into_iter().sum();
            assert!(stray.is_some_and(|sum| sum.abs() < 1e-9), "{strays:?}");
            assert_eq!((found.mistyped(&all[1]), found.mistyped(&all[0])), (strays.len(), 0));
        }
        // What only goes on later, or is a good part of all, is no mistake.
        assert_ne!(Grid::of(with(&[90 * DAY]).iter(), None).unwrap(), wanted);
        let later: Vec<i64> = (0..10).map(|day| (5_000 + day) * DAY).collect();
        assert_eq!(
            Grid::of(with(&later).iter(), Some(Period::Micros(DAY))).unwrap().end,
            5_009
        );
    }

    #[test]
    fn what_goes_on_after_a_break_is_not_mistyped() {
        let year: Vec<i64> = (0..300).map(|day| day * DAY).collect();
        for (more, end) in [
            // Two weeks of days, and days of a month, a week apart.
            ((630..644).map(|day| day * DAY).collect::<Vec<i64>>(), 643),
            ((0..5).map(|week| (630 + 7 * week) * DAY).collect(), 658),
            // The same with a year of 2062 after it: only that is one.
            ((630..644).chain([13_000]).map(|day| day * DAY).collect(), 643),
            // One day, two, and all rows of one file are.
            (vec![630 * DAY], 299),
            (vec![630 * DAY, 631 * DAY], 299),
            ((0..9).map(|reading| 630 * DAY + reading * 30 * SECOND).collect(), 299),
        ] {
            let all = [points(&year), points(&more)];
            let found = Grid::of(all.iter(), Some(Period::Micros(DAY))).unwrap();
            assert_eq!((found.begin, found.end), (0, end), "{more:?}");
        }
        // Nor is what was before it.
        let before = [
            points(&(-644..-630).map(|day| day * DAY).collect::<Vec<i64>>()),
            points(&year),
        ];
        let found = Grid::of(before.iter(), Some(Period::Micros(DAY))).unwrap();
        assert_eq!((found.begin, found.end), (-644, 299));
        let alone = [points(&[-644 * DAY]), points(&year)];
        assert_eq!(Grid::of(alone.iter(), Some(Period::Micros(DAY))).unwrap().begin, 0);
    }

    #[test]
    fn the_length_follows_the_gaps() {
        let hour = 3_600 * SECOND;
        for (moments, season) in [
            // Working days at half past nine, a second run now and then.
            (
                vec![0, DAY, 2 * DAY, 2 * DAY + 5 * hour, 3 * DAY, 6 * DAY, 7 * DAY],
                Some(7),
            ),
            (vec![0, hour, 2 * hour, 3 * hour, 5 * hour], Some(24)),
            (vec![0, 7 * DAY, 14 * DAY], Some(52)),
            (vec![0, 31 * DAY, 59 * DAY, 90 * DAY], Some(12)),
            (vec![0, 60 * SECOND, 120 * SECOND], None),
            (vec![5 * DAY], Some(7)),
        ] {
            let moments: Vec<i64> = moments.into_iter().map(|moment| moment + 9 * hour).collect();
            assert_eq!(grid(&moments).season(), season, "{moments:?}");
        }
        assert!(Grid::of([Points::default()].iter(), None).is_none());
    }

    #[test]
    fn bursts_are_not_taken_for_the_rhythm_and_the_caller_may_say_it() {
        let hour = 3_600 * SECOND;
        // Five readings within two minutes, once a day.
        let daily: Vec<i64> = (0..30)
            .flat_map(|day| (0..5).map(move |reading| day * DAY + 9 * hour + reading * 30 * SECOND))
            .collect();
        assert_eq!(grid(&daily).period(), "day");
        // The same once an hour.
        let hourly: Vec<i64> = (0..30)
            .flat_map(|run| (0..5).map(move |reading| run * hour + reading * 30 * SECOND))
            .collect();
        assert_eq!(grid(&hourly).period(), "hour");
        // Every hour of working days is no burst.
        let working: Vec<i64> = (0..20)
            .filter(|day| day % 7 < 5)
            .flat_map(|day| (8..18).map(move |of_day| day * DAY + of_day * hour))
            .collect();
        assert_eq!(grid(&working).period(), "hour");
        let told = |text: &str| Grid::of([points(&working)].iter(), Some(text.parse().unwrap())).unwrap();
        assert_eq!(told("week").period(), "week");
        assert_eq!(told("30 minutes").season(), Some(48));
        assert_eq!(told("Month").season(), Some(12));
        for wrong in [
            "",
            "fortnight",
            "0 days",
            "3 weeks ago",
            "-1 hours",
            "2 months",
            "1e9 days",
        ] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn gaps_are_nothing_or_unknown_and_rows_of_a_period_come_together() {
        let moments = [0, 1, DAY, 3 * DAY, 4 * DAY];
        let grid = grid(&moments);
        let points = points(&moments);
        let sums = [Some(2.0), Some(1.0), Some(0.0), Some(1.0), Some(1.0)];
        assert_eq!(grid.values(&points, Together::Sum), sums);
        let means = [Some(1.0), Some(1.0), None, Some(1.0), Some(1.0)];
        assert_eq!(grid.values(&points, Together::Mean), means);
        assert_eq!(grid.after_end(1), 5 * DAY);
    }

    #[test]
    fn months_are_months() {
        let first = |month| {
            NaiveDate::from_ymd_opt(2026, month, 1)
                .unwrap()
                .and_time(chrono::NaiveTime::MIN)
                .and_utc()
        };
        let moments: Vec<i64> = (1..=12).map(|month| first(month).timestamp_micros()).collect();
        let next = grid(&moments).after_end(2);
        assert_eq!(
            DateTime::from_timestamp_micros(next).unwrap().to_rfc3339(),
            "2027-02-01T00:00:00+00:00"
        );
    }
}
