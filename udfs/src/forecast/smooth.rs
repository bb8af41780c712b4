//! Exponential smoothing with additive errors: a level, with or without a trend, damped or steady, and an additive season.

/// Which parts a smoother has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) trend: Trend,
    /// Periods of the season; 0 for none.
    pub(super) season: usize,
}

/// How a level goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trend {
    None,
    /// Less and less.
    Damped,
    /// On and on: it begins with the straight line nearest to all values.
    Steady,
}

/// How fast each part follows what is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    level: f64,
    trend: f64,
    season: f64,
    damping: f64,
}

/// A smoother after its last value.
#[derive(Debug, Clone)]
pub(super) struct Smoother {
    shape: Shape,
    pace: Pace,
    level: f64,
    trend: f64,
    /// The season from the next period on.
    season: Vec<f64>,
    /// Sum of squares and number of the errors one period ahead.
    squares: f64,
    errors: usize,
}

const LEVELS: [f64; 7] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 0.9];
const TRENDS: [f64; 3] = [0.01, 0.05, 0.2];
const SEASONS: [f64; 4] = [0.01, 0.05, 0.15, 0.4];
const DAMPINGS: [f64; 3] = [0.8, 0.9, 0.98];

impl Smoother {
    /// The smoother of that shape that erred least one period ahead; `None` when there are too few values for it.
    pub(super) fn fit(values: &[Option<f64>], shape: Shape) -> Option<Self> {
        let known = values.iter().flatten().count();
        if known < 4 || values.len() < 2 * shape.season + 2 || (shape.trend != Trend::None && known < 8) {
            return None;
        }
        let one = [0.0];
        let (trends, dampings): (&[f64], &[f64]) = match shape.trend {
            Trend::None => (&one, &one),
            Trend::Damped => (&TRENDS, &DAMPINGS),
            Trend::Steady => (&TRENDS, &[1.0]),
        };
        let seasons: &[f64] = if shape.season > 0 { &SEASONS } else { &one };
        let mut best: Option<Self> = None;
        for level in LEVELS {
            for trend in trends {
                for damping in dampings {
                    for season in seasons {
                        let pace = Pace {
                            level,
                            trend: *trend,
                            season: *season,
                            damping: *damping,
                        };
                        let tried = Self::run(values, shape, pace)?;
                        if best.as_ref().is_none_or(|best| tried.squares < best.squares) {
                            best = Some(tried);
                        }
                    }
                }
            }
        }
        best
    }

    /// Follows the values from the first to the last.
    fn run(values: &[Option<f64>], shape: Shape, pace: Pace) -> Option<Self> {
        let period = shape.season.max(1);
        let head = values.get(..(2 * period).clamp(4, values.len().max(4)).min(values.len()))?;
        let slope = match shape.trend {
            Trend::None | Trend::Damped => 0.0,
            Trend::Steady => slope(values)?,
        };
        let flat = |(place, value): (usize, &Option<f64>)| value.map(|value| value - slope * place as f64);
        // The level before the first value.
        let level = mean(head.iter().enumerate().filter_map(flat))? - slope;
        // Each place of the season: its mean over all cycles, less the mean of all.
        let overall = mean(values.iter().enumerate().filter_map(flat))?;
        let season: Vec<f64> = (0..shape.season)
            .map(|place| {
                let of_place = values.iter().enumerate().skip(place).step_by(period);
                mean(of_place.filter_map(flat)).map_or(0.0, |mean| mean - overall)
            })
            .collect();
        let mut smoother = Self {
            shape,
            pace,
            level,
            trend: slope,
            season,
            squares: 0.0,
            errors: 0,
        };
        for value in values {
            smoother.step(*value);
        }
        smoother.squares.is_finite().then_some(smoother)
    }

    fn step(&mut self, value: Option<f64>) {
        let carried = self.level + self.pace.damping * self.trend;
        let seasonal = self.season.first().copied().unwrap_or(0.0);
        let error = value.map_or(0.0, |value| value - carried - seasonal);
        self.level = carried + self.pace.level * error;
        self.trend = self.pace.damping * self.trend + self.pace.level * self.pace.trend * error;
        if let Some(first) = self.season.first_mut() {
            *first += self.pace.season * (1.0 - self.pace.level) * error;
            self.season.rotate_left(1);
        }
        if value.is_some() {
            self.squares += error * error;
            self.errors += 1;
        }
    }

    /// The periods that come.
    pub(super) fn carry_on(&self, horizon: usize) -> Vec<f64> {
        let (mut damped, mut power) = (0.0, 1.0);
        (0..horizon)
            .map(|step| {
                power *= self.pace.damping;
                damped += power;
                let trend = match self.shape.trend {
                    Trend::None => 0.0,
                    Trend::Damped | Trend::Steady => damped * self.trend,
                };
                let place = step % self.season.len().max(1);
                self.level + trend + self.season.get(place).copied().unwrap_or(0.0)
            })
            .collect()
    }

    /// Standard deviation of the errors so many periods ahead, from the first on.
    pub(super) fn spread(&self, horizon: usize) -> Vec<f64> {
        let variance = self.squares / self.errors.max(1) as f64;
        let (mut damped, mut power, mut sum) = (0.0, 1.0, 1.0);
        (1..=horizon)
            .map(|ahead| {
                let spread = (variance * sum).sqrt();
                power *= self.pace.damping;
                damped += power;
                let season = match self.shape.season {
                    0 => 0.0,
                    period if ahead % period == 0 => self.pace.season * (1.0 - self.pace.level),
                    _ => 0.0,
                };
                let trend = match self.shape.trend {
                    Trend::None => 0.0,
                    Trend::Damped | Trend::Steady => damped,
                };
                let weight = self.pace.level * (1.0 + self.pace.trend * trend) + season;
                sum += weight * weight;
                spread
            })
            .collect()
    }
}

/// What is added each period along the straight line nearest to all values; none of fewer than two.
fn slope(values: &[Option<f64>]) -> Option<f64> {
    let known = || {
        values
            .iter()
            .enumerate()
            .filter_map(|(place, value)| Some((place as f64, (*value)?)))
    };
    let (place, value) = (mean(known().map(|pair| pair.0))?, mean(known().map(|pair| pair.1))?);
    let (mut both, mut square) = (0.0, 0.0);
    for (x, y) in known() {
        both += (x - place) * (y - value);
        square += (x - place) * (x - place);
    }
    (square > 0.0).then(|| both / square)
}

/// The mean; none of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
