//! Rows that were computed from the others: sums, means, and how far values stray.

use crate::formats::grid::Grid;
use crate::formats::number;

/// Words in place of a well's or group's name that mark a row as computed from others.
const SUMMARY_WORDS: [&str; 75] = [
    "average",
    "averages",
    "avg",
    "mean",
    "means",
    "median",
    "sd",
    "stdev",
    "stddev",
    "std dev",
    "std. dev.",
    "standard deviation",
    "std. deviation",
    "cv",
    "cv%",
    "%cv",
    "cv (%)",
    "cv [%]",
    "rsd",
    "rsd%",
    "%rsd",
    "% rsd",
    "rsd %",
    "rsd (%)",
    "rsd [%]",
    "rel. sd",
    "sum",
    "sums",
    "total",
    "totals",
    "subtotal",
    "grand total",
    "summary",
    "pooled",
    "summe",
    "gesamt",
    "gesamtsumme",
    "mittelwert",
    "mittel",
    "durchschnitt",
    "standardabweichung",
    "standardabw.",
    "stdabw",
    "stdabw.",
    "stabw",
    "stabw.",
    "std.abw.",
    "rel. standardabweichung",
    "rel. stdabw.",
    "variationskoeffizient",
    "vk",
    "vk%",
    "vk (%)",
    "moyenne",
    "écart-type",
    "écart type",
    "ecart-type",
    "ecart type",
    "somme",
    "médiane",
    "mediane",
    "totaux",
    "promedio",
    "suma",
    "mediana",
    "desviación estándar",
    "desviacion estandar",
    "desv. est.",
    "desvest",
    "somma",
    "totale",
    "deviazione standard",
    "dev. standard",
    "dev. st.",
    "dev.st.",
];
/// More of them, which say so at the end of a table alone.
const END_WORDS: [&str; 10] = [
    "min",
    "max",
    "minimum",
    "maximum",
    "range",
    "mínimo",
    "máximo",
    "minimo",
    "massimo",
    "spannweite",
];
/// A mean in Spanish and Italian, and what cells grow in: said beside another summary it is the mean.
const MEAN_OR_MEDIUM: &str = "media";

/// Whether a cell stands for several rows.
pub(super) fn is_summary(cell: &str) -> bool {
    SUMMARY_WORDS.contains(&word(cell).as_str())
}

/// Whether a cell may sum up the rows above it, where it stands in the last ones.
pub(super) fn may_sum_up(cell: &str) -> bool {
    let word = word(cell);
    let word = word.as_str();
    SUMMARY_WORDS.contains(&word) || END_WORDS.contains(&word) || word == MEAN_OR_MEDIUM
}

/// The last rows of any list, where each starts with a summary word and none before them does: the rows without them, and
/// them.
pub(super) fn summary_at_end(grid: &Grid, rows: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
    let first = |row: usize| grid.cells(row).map(str::trim).find(|cell| !cell.is_empty());
    let is_summed = |row: &&usize| first(**row).is_some_and(may_sum_up) && grid.filled(**row).len() > 1;
    let count = rows.iter().rev().take_while(is_summed).count();
    let (plain, summed) = rows.split_at(rows.len() - count);
    let is_sure = summed
        .iter()
        .any(|row| first(*row).is_some_and(|cell| word(cell) != MEAN_OR_MEDIUM));
    // A word with a colon names no sample, however few there are. Otherwise a table of statistics has little else.
    let is_said = summed
        .iter()
        .all(|row| first(*row).is_some_and(|cell| cell.ends_with(':') && is_summary(cell)));
    let is_least = if is_said {
        !plain.is_empty()
    } else {
        plain.len() > 2 && count * 2 <= plain.len()
    };
    let is_foot = is_sure && is_least && !plain.iter().any(|row| is_summed(&row));
    is_foot.then(|| (plain.to_vec(), summed.to_vec()))
}

/// Endings of a cell that stands for the rows of its group above it.
const GROUP_ENDINGS: [&str; 4] = [" total", " subtotal", " summe", " gesamt"];
/// Rows looked at for such.
const SUSPECTS_ROWS: usize = 10_000;

/// Rows of a list that may sum up others and were not parted from it: by their first word (`G1 Total`), or the last one if it
/// has no key, as all others have, and the sum of some column.
pub(super) fn suspects(grid: &Grid, rows: &[usize], width: usize) -> Vec<usize> {
    let rows = rows.get(..rows.len().min(SUSPECTS_ROWS)).unwrap_or_default();
    let first = |row: usize| grid.cells(row).map(str::trim).find(|cell| !cell.is_empty());
    let is_summed = |row: &usize| {
        first(*row).is_some_and(|cell| {
            let word = word(cell);
            SUMMARY_WORDS.contains(&word.as_str()) || GROUP_ENDINGS.iter().any(|ending| word.ends_with(ending))
        })
    };
    let mut suspects: Vec<usize> = rows.iter().copied().filter(is_summed).collect();
    // A table of statistics has little else.
    if suspects.len() * 2 > rows.len() {
        return Vec::new();
    }
    if let Some((last, above)) = rows.split_last()
        && above.len() > 1
    {
        let has_key = |row: &usize| !grid.cell(*row, 0).trim().is_empty();
        let number =
            |row: &usize, column: usize| number::parse(grid.cell(*row, column).trim()).map(number::Number::as_f64);
        let is_sum = |column: usize| {
            let values: Option<Vec<f64>> = above.iter().map(|row| number(row, column)).collect();
            let sum = values.map(|values| values.iter().sum::<f64>());
            sum.zip(number(last, column))
                .is_some_and(|(sum, last)| last != 0.0 && (sum - last).abs() <= 1e-9 * last.abs())
        };
        if !has_key(last) && above.iter().all(has_key) && (1..width).any(is_sum) {
            suspects.push(*last);
        }
    }
    suspects
}

/// In small letters, without the colon behind it.
fn word(cell: &str) -> String {
    let word = cell
        .trim()
        .trim_end_matches(|character: char| character == ':' || character.is_whitespace());
    word.to_lowercase()
}
