//! The format of a dashboard's file: TOML around SQL. Unknown keys are errors.
//!
//! In a chart's SQL `{{filters}}` stands for the conditions of all filters that are set (`true` when none is), and
//! `{{NAME}}` for the value of the filter of kind `pick` of that name. Values travel as parameters.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One dashboard.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dashboard {
    pub(super) title: String,
    #[serde(default)]
    description: String,
    /// Place among the others, small first.
    #[serde(default)]
    pub(super) order: i64,
    #[serde(default, rename(deserialize = "filter"))]
    pub(super) filters: Vec<Filter>,
    #[serde(default, rename(deserialize = "chart"))]
    pub(super) charts: Vec<Chart>,
}

/// What narrows the charts.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) name: String,
    label: String,
    kind: FilterKind,
    /// The column of the charts' tables that it compares.
    column: String,
    /// `dates`: one row with the first and the last moment; `choice` and `pick`: a row a value.
    pub(super) sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum FilterKind {
    /// From one day to another, both included.
    Dates,
    /// One of several values, or all.
    Choice,
    /// Exactly one of several values; the first when none is chosen. Only where a chart writes `{{NAME}}`.
    Pick,
}

/// One picture and its twin table.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chart {
    name: String,
    title: String,
    /// What to see in it, for people who cannot see it too.
    description: String,
    kind: ChartKind,
    sql: String,
    /// Names above it the rules that fire, of those alerts that the reader sees.
    #[serde(default)]
    rules: bool,
    /// Takes the width of two.
    #[serde(default)]
    wide: bool,
    /// The column along the horizontal axis, or of the labels; of wells for plates.
    x: Option<String>,
    /// The measured columns.
    #[serde(default)]
    y: Vec<String>,
    /// The column that splits into series, or into plates.
    series: Option<String>,
    /// Columns of the lower and upper end of an interval around the first of `y`.
    low: Option<String>,
    high: Option<String>,
    /// A column that says `true` for what is to be marked.
    mark: Option<String>,
    unit: Option<String>,
    decimals: Option<u8>,
    /// A click on a mark sets the filter of that name, and opens that dashboard.
    sets: Option<String>,
    opens: Option<String>,
    /// Columns that filters compare in this chart instead of their own; "" = the filter does not apply here.
    #[serde(default)]
    filter_columns: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum ChartKind {
    /// Bars over days, further columns as lines.
    TimeBars,
    /// Stacked areas over days.
    Areas,
    /// Horizontal bars, a label each.
    Bars,
    /// A row of cells a plate, a column a well.
    Plates,
    /// One plate as it lies on the desk.
    Plate,
    /// A cloud of points, with the diagonal.
    Points,
    /// One row, a large number a column.
    Numbers,
    Table,
}

/// A file that does not act.
#[derive(Debug, thiserror::Error)]
#[error("dashboard {name}: {problem}")]
pub(super) struct FileError {
    pub(super) name: String,
    pub(super) problem: String,
}

impl Dashboard {
    /// Reads and checks a file.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, FileError> {
        let wrong = |problem: String| FileError {
            name: name.to_owned(),
            problem,
        };
        let dashboard: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let at = |of: &str, place: usize, problem: String| match line(text, of, place) {
            Some(line) => wrong(format!("at line {line}, {problem}")),
            None => wrong(problem),
        };
        let charts: Vec<_> = dashboard.charts.iter().map(|chart| &chart.name).collect();
        let filters: Vec<_> = dashboard.filters.iter().map(|filter| &filter.name).collect();
        for (of, names) in [("chart", charts), ("filter", filters)] {
            if let Some((place, problem)) = misnamed(&names) {
                return Err(at(of, place, problem));
            }
        }
        for (place, chart) in dashboard.charts.iter().enumerate() {
            if let Some(problem) = dashboard.problem(chart) {
                return Err(at("chart", place, format!("chart `{}`: {problem}", chart.name)));
            }
        }
        Ok(dashboard)
    }

    /// A chart's statement with every filter in it and none narrowing: to see whether it can be planned.
    pub(super) fn trial(&self, chart: &Chart) -> String {
        let conditions: Vec<String> = self
            .filters
            .iter()
            .filter(|filter| filter.kind != FilterKind::Pick)
            .filter_map(|filter| {
                let column = chart.filter_columns.get(&filter.name).unwrap_or(&filter.column);
                (!column.is_empty()).then(|| format!("({column} IS NULL OR true)"))
            })
            .chain(["true".to_owned()])
            .collect();
        let mut sql = chart.sql.replace("{{filters}}", &conditions.join(" AND "));
        for filter in self.filters.iter().filter(|filter| filter.kind == FilterKind::Pick) {
            sql = sql.replace(&format!("{{{{{}}}}}", filter.name), "NULL");
        }
        sql
    }

    /// All that the dashboard asks, by what asks it.
    pub(super) fn trials(&self) -> Vec<(String, String)> {
        let filters = self.filters.iter();
        let filters = filters.map(|filter| (format!("filter `{}`", filter.name), filter.sql.clone()));
        let charts = self.charts.iter();
        let charts = charts.map(|chart| (format!("chart `{}`", chart.name), self.trial(chart)));
        filters.chain(charts).collect()
    }

    fn problem(&self, chart: &Chart) -> Option<String> {
        let known = |name: &str| self.filters.iter().find(|filter| filter.name == name);
        for (at, _) in chart.sql.match_indices("{{") {
            let rest = chart.sql.get(at + 2..).unwrap_or_default();
            let Some((name, _)) = rest.split_once("}}") else {
                return Some("a `{{` in its SQL is not closed".into());
            };
            if name != "filters" && known(name).is_none_or(|filter| filter.kind != FilterKind::Pick) {
                return Some(format!(
                    "`{{{{{name}}}}}` in its SQL is neither {{{{filters}}}} nor a filter of kind \"pick\""
                ));
            }
        }
        if let Some(sets) = &chart.sets
            && self.filters.iter().all(|filter| filter.name != *sets)
            && chart.opens.is_none()
        {
            return Some(format!("it sets the filter `{sets}`, which is not there"));
        }
        if let Some(name) = chart.filter_columns.keys().find(|name| known(name).is_none()) {
            return Some(format!("filter_columns names the filter `{name}`, which is not there"));
        }
        let needs_x = !matches!(chart.kind, ChartKind::Numbers | ChartKind::Table);
        if needs_x && (chart.x.is_none() || chart.y.is_empty()) {
            return Some("a chart of this kind needs `x` and `y`".into());
        }
        let needs_series = matches!(chart.kind, ChartKind::Areas | ChartKind::Plates);
        if needs_series && chart.series.is_none() {
            return Some("a chart of this kind needs `series`".into());
        }
        None
    }
}

/// What is wrong with names that must differ and go into URLs, and with which of them.
fn misnamed(names: &[&String]) -> Option<(usize, String)> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut known = BTreeSet::new();
    names.iter().enumerate().find_map(|(place, name)| {
        let problem = match known.insert(*name) {
            false => format!("the name `{name}` is there twice"),
            true if !name.is_empty() && name.chars().all(is_plain) => return None,
            true => format!("the name `{name}` must be made of a-z, 0-9 and _"),
        };
        Some((place, problem))
    })
}

/// The line, from 1 on, in which a table such as `[[chart]]` begins for the `place`th time, if it is written so.
fn line(text: &str, of: &str, place: usize) -> Option<usize> {
    let header = format!("[[{of}]]");
    let begins = |line: &str| {
        let plain: String = line.chars().filter(|letter| !letter.is_whitespace()).collect();
        plain.starts_with(&header)
    };
    let lines = text.lines().enumerate().filter(|(_, line)| begins(line));
    lines.map(|(at, _)| at + 1).nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "title = 'T'\n[[filter]]\nname = 'lot'\nlabel = 'Lot'\nkind = 'choice'\ncolumn = 'lot'\nsql = 'SELECT 1'\n\
        [[filter]]\nname = 'plate'\nlabel = 'Plate'\nkind = 'pick'\ncolumn = 'plate_id'\nsql = 'SELECT 1'\n\
        [[chart]]\nname = 'c'\ntitle = 'C'\ndescription = 'D'\nkind = 'bars'\nx = 'a'\ny = ['b']\n";

    fn parse(sql: &str) -> Result<Dashboard, FileError> {
        Dashboard::parse("t", &format!("{GOOD}sql = \"{sql}\"\n"))
    }

    #[test]
    fn a_trial_names_every_filters_column_and_narrows_nothing() {
        let dashboard = parse("SELECT a, b FROM t WHERE {{filters}} AND p = {{plate}}").unwrap();
        assert_eq!(
            dashboard.trial(&dashboard.charts[0]),
            "SELECT a, b FROM t WHERE (lot IS NULL OR true) AND true AND p = NULL"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (sql, says) in [
            (
                "SELECT 1\"\n[[chart]]\nname = \"c\"\ntitle = \"C\"\ndescription = \"D\"\nkind = \"table\"\nsql = \"SELECT 2",
                "twice",
            ),
            ("SELECT {{lot}}", "neither"),
            ("SELECT {{plate", "not closed"),
            ("SELECT 1\"\nspeed = \"9", "speed"),
            ("SELECT 1\"\nsets = \"nothing", "nothing"),
        ] {
            let error = parse(sql).unwrap_err().to_string();
            assert!(error.contains(says), "{sql}: {error}");
        }
        let areas = GOOD.replace("'bars'", "'areas'") + "sql = 'SELECT 1'";
        let error = Dashboard::parse("t", &areas).unwrap_err().to_string();
        assert!(error.contains("series") && error.contains("at line 14"), "{error}");
        let twice = GOOD.replace("'plate'", "'lot'") + "sql = 'SELECT 1'";
        let error = Dashboard::parse("t", &twice).unwrap_err().to_string();
        assert!(error.contains("at line 8, the name `lot` is there twice"), "{error}");
    }
}
