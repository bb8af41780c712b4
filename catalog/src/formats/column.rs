//! Text cells to typed Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, NullArray, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

use crate::formats::ReadError;
use crate::formats::constants::{self, WithConstants};
use crate::formats::infer::{self, ColumnType, Commas, Evidence, Style};
use crate::formats::keys::{DATE_ORDER_KEY, DECIMAL_KEY, DECIMAL_UNSURE};
use crate::formats::pinned::{DateOrder, Decimal, Notation};
use crate::formats::{moment, number, odd, rescue, words};

/// Rows of one batch: large enough for columnar work, small enough to stream.
const BATCH_ROWS: usize = 65_536;

/// Cells by row and column, whatever holds them.
pub(super) trait Cells {
    fn height(&self) -> usize;
    fn cell(&self, row: usize, column: usize) -> &str;
    /// The line or sheet row in which a row starts, where that is known.
    fn line(&self, _row: usize) -> Option<u64> {
        None
    }
}

/// How a table's columns are to be read.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) types: Vec<ColumnType>,
    /// Columns among whose cells some are no values of its type: those go, as they are, to a column of their own.
    pub(super) rescued: Vec<usize>,
    /// Those of them whose words for "no value" say different things: they are all kept.
    pub(super) told: Vec<usize>,
    /// What the numbers of each column show of the sign before their fractions, as it is kept with the column.
    pub(super) decimals: Vec<Option<&'static str>>,
    /// Columns that two readings fit, mostly kept as text because two readings fit, and which two.
    pub(super) undecided: Vec<(usize, &'static str)>,
    /// Columns that are text because of few of their cells, and the first of these.
    pub(super) odd: Vec<(usize, String)>,
}

impl Plan {
    /// A sentence for each column that two readings fit.
    pub(super) fn undecided_in(&self, names: &[String]) -> Vec<String> {
        let taken = |column: usize| match self.types.get(column) {
            Some(ColumnType::Int64 | ColumnType::Float64(_)) => "read as numbers",
            _ => "kept as text",
        };
        let undecided = self.undecided.iter().map(|(column, why)| (*column, *why));
        let odd = self.odd.iter().map(|(column, why)| (*column, why.as_str()));
        undecided
            .chain(odd)
            .filter_map(|(column, why)| Some(format!("{:?} {}: {why}", names.get(column)?, taken(column))))
            .collect()
    }
}

/// What became of a table besides its batches.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// What is said of columns that are text because two readings fit.
    pub(super) undecided: Vec<String>,
    /// Columns of numbers with words among them.
    pub(super) rescued: usize,
}

/// Types every column over all rows and builds the batches.
///
/// # Errors
/// `NotATable` if Arrow refuses the arrays, which would be a defect here; `Pinned` for a cell that its column's pinned
/// type cannot hold.
pub(super) fn table(
    names: &[String],
    cells: &dyn Cells,
    notation: Notation<'_>,
) -> Result<Vec<RecordBatch>, ReadError> {
    build(names, &plan(names, cells, notation)?, cells)
}

/// As [`table`], with constants of the whole file as further columns.
///
/// # Errors
/// As [`table`].
pub(super) fn table_with(
    names: &[String],
    cells: &dyn Cells,
    notation: Notation<'_>,
    constants: &[(String, String)],
) -> Result<(Vec<RecordBatch>, Typing), ReadError> {
    let mut plan = plan(names, cells, notation)?;
    let typing = Typing {
        undecided: plan.undecided_in(names),
        rescued: plan.rescued.len(),
    };
    plan.types.extend(constants.iter().map(|(name, value)| {
        if notation.is_text_in_table(name) {
            ColumnType::Text
        } else {
            constants::kind(value)
        }
    }));
    let all = names.iter().chain(constants.iter().map(|(name, _)| name));
    let all = crate::formats::header::names(all.map(String::as_str));
    let cells = WithConstants {
        cells,
        width: names.len(),
        constants,
    };
    Ok((build(&all, &plan, &cells)?, typing))
}

/// Whether commas in numbers are decimal ones: some cell can be nothing else, or may be one in a file that is written as
/// where decimal commas are.
fn has_decimal_commas(evidence: &[Evidence], notation: Notation<'_>) -> bool {
    evidence.iter().any(Evidence::has_sure_comma)
        || (notation.comma_locale && evidence.iter().any(Evidence::has_many_commas))
        || (evidence.iter().any(Evidence::has_dotted_dates) && evidence.iter().any(Evidence::may_have_commas))
        || (!evidence.iter().any(Evidence::has_sure_point) && may_part_thousands(evidence))
}

/// The same where commas part cells and those of numbers were quoted: `"0,52"` is a number, `"1,2"` a list as often. Beside a
/// decimal point they are none.
fn has_quoted_commas(evidence: &[Evidence]) -> bool {
    evidence.iter().any(Evidence::has_unlisted_commas) && !evidence.iter().any(Evidence::has_sure_point)
}

/// Whether points part thousands in some column, or may do so in a file whose dates are parted by points.
fn may_part_thousands(evidence: &[Evidence]) -> bool {
    let is_local = || evidence.iter().any(Evidence::has_dotted_dates);
    evidence.iter().any(Evidence::has_thousands_by_point)
        || (evidence.iter().any(Evidence::may_be_thousands) && is_local())
}

/// What all of a file's cells say of its commas, and the type of each column by its cells and, where these leave a doubt, its name.
pub(super) fn types(names: &[String], evidence: &[Evidence], notation: Notation<'_>) -> (Commas, Vec<ColumnType>) {
    let commas = match notation.decimal() {
        Some(Decimal::Comma) => Commas::Decimal,
        Some(Decimal::Point) => Commas::None,
        None if notation.comma_cells && has_decimal_commas(evidence, notation) => Commas::Decimal,
        None if notation.quoted_commas && has_quoted_commas(evidence) => Commas::Decimal,
        None => Commas::None,
    };
    // Where points are decimal and commas part cells, a quoted `1,234` is a thousand.
    let parts_thousands =
        notation.quoted_commas && commas == Commas::None && evidence.iter().any(Evidence::has_sure_point);
    let types = evidence
        .iter()
        .enumerate()
        .map(|(column, evidence)| {
            let name = names.get(column).map_or("", String::as_str);
            let is_word =
                (evidence.is_only_no() && !words::asks(name)) || (evidence.may_be_codes() && words::names_things(name));
            if is_word {
                ColumnType::Text
            } else if parts_thousands && evidence.are_thousands() {
                ColumnType::Float64(Style::PointGrouped)
            } else {
                evidence.decide_as(commas, notation.decimal(), notation.order())
            }
        })
        .collect();
    (commas, types)
}

/// Columns that two readings fit, and which two.
pub(super) fn undecided(
    evidence: &[Evidence],
    types: &[ColumnType],
    commas: Commas,
    notation: Notation<'_>,
) -> Vec<(usize, &'static str)> {
    let why = |column: usize, evidence: &Evidence| {
        if types.get(column) != Some(&ColumnType::Text) {
            evidence
                .may_be_codes()
                .then_some("cells such as 1E5 may be names as well")
        } else if commas == Commas::Decimal && evidence.may_be_thousands() {
            Some("its points may part thousands or fractions")
        } else if let Some(why) = evidence.undecided_dates() {
            Some(why)
        } else if commas == Commas::None
            && (notation.comma_cells || (notation.quoted_commas && evidence.are_comma_numbers()))
            && evidence.may_have_commas()
        {
            Some("its commas may part thousands or fractions")
        } else {
            None
        }
    };
    let found = evidence.iter().enumerate();
    found
        .filter_map(|(column, evidence)| Some((column, why(column, evidence)?)))
        .collect()
}

/// The type of each of the named columns over all rows.
///
/// # Errors
/// `Pinned` for a cell that its column's pinned type cannot hold.
pub(super) fn plan(names: &[String], cells: &dyn Cells, notation: Notation<'_>) -> Result<Plan, ReadError> {
    let evidence: Vec<Evidence> = (0..names.len())
        .map(|column| {
            let mut evidence = Evidence::default();
            for row in 0..cells.height() {
                evidence.see(cells.cell(row, column));
            }
            evidence
        })
        .collect();
    let (commas, mut types) = types(names, &evidence, notation);
    let style = match commas {
        Commas::None => Style::Point,
        Commas::Decimal => Style::Comma,
    };
    let (mut rescued, mut forced) = (Vec::new(), Vec::new());
    for (column, kind) in types.iter_mut().enumerate() {
        if let Some((wanted, odd)) = notation.force(names, column, cells, style, *kind)? {
            *kind = wanted;
            rescued.extend(odd.then_some(column));
            forced.push(column);
        } else if *kind == ColumnType::Text
            && !evidence.get(column).is_some_and(Evidence::may_be_codes)
            && let Some(numbers) = rescue::numbers(cells, column, style, column >= notation.measured_from)
        {
            *kind = match numbers {
                rescue::Numbers::Whole => ColumnType::Int64,
                rescue::Numbers::Fractions => ColumnType::Float64(style),
            };
            rescued.push(column);
        } else if column >= notation.measured_from && evidence.get(column).is_some_and(Evidence::is_of_nothings) {
            // None was read in any well: the values are numbers all the same.
            *kind = ColumnType::Float64(style);
        }
    }
    let mut told = Vec::new();
    for (column, (evidence, kind)) in evidence.iter().zip(&types).enumerate() {
        let nothings = evidence.nothings();
        if nothings.tell() && *kind != ColumnType::Text {
            if !rescued.contains(&column) {
                rescued.push(column);
            }
            told.extend(nothings.differ().then_some(column));
        }
    }
    rescued.sort_unstable();
    let mut undecided = undecided(&evidence, &types, commas, notation);
    undecided.retain(|(column, _)| !forced.contains(column));
    let is_open = |column: usize| {
        types.get(column) == Some(&ColumnType::Text)
            && !forced.contains(&column)
            && !undecided.iter().any(|(known, _)| *known == column)
            && !words::names_things(names.get(column).map_or("", String::as_str))
    };
    let odd = (0..names.len())
        .filter(|column| is_open(*column))
        .filter_map(|column| Some((column, odd::first(cells, column, style)?)))
        .collect();
    let decimals = types.iter().zip(&evidence);
    let decimals = decimals
        .map(|(kind, evidence)| decimal_of(*kind, evidence, notation.decimal()))
        .collect();
    Ok(Plan {
        types,
        decimals,
        rescued,
        told,
        undecided,
        odd,
    })
}

/// What a column's numbers show of the sign before their fractions.
pub(super) fn decimal_of(kind: ColumnType, evidence: &Evidence, pinned: Option<Decimal>) -> Option<&'static str> {
    match kind {
        ColumnType::Float64(_) if pinned.is_some() => pinned.map(Decimal::sign),
        ColumnType::Float64(Style::Comma | Style::CommaGrouped) => Some(Decimal::Comma.sign()),
        ColumnType::Float64(_) if evidence.has_sure_point() => Some(Decimal::Point.sign()),
        ColumnType::Float64(_) if evidence.may_be_thousands() => Some(DECIMAL_UNSURE),
        _ => None,
    }
}

/// Builds the batches of a plan, with a column of what does not fit where there is such.
///
/// # Errors
/// As [`table`].
pub(super) fn build(names: &[String], plan: &Plan, cells: &dyn Cells) -> Result<Vec<RecordBatch>, ReadError> {
    if plan.rescued.is_empty() {
        return batches(names, plan, &plan.types, cells);
    }
    let texts = rescue::texts(names, plan, cells);
    let mut names = names.to_vec();
    names.push(rescue::NAME.to_owned());
    let names = crate::formats::header::names(names.iter().map(String::as_str));
    let mut types = plan.types.clone();
    types.push(ColumnType::Text);
    let beside = rescue::Beside {
        cells,
        plan,
        texts: &texts,
    };
    batches(&names, plan, &types, &beside)
}

/// Builds batches of given types; a cell that does not fit its type is null, so types come from [`Evidence`].
fn batches(
    names: &[String],
    plan: &Plan,
    types: &[ColumnType],
    cells: &dyn Cells,
) -> Result<Vec<RecordBatch>, ReadError> {
    let fields = names.iter().zip(types).enumerate().map(|(column, (name, kind))| {
        let mut field = field(name, *kind);
        keep(&mut field, plan.decimals.get(column).copied().flatten());
        field
    });
    let fields: Vec<Field> = fields.collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut batches = Vec::new();
    let mut start = 0;
    while start < cells.height() {
        let end = start.saturating_add(BATCH_ROWS).min(cells.height());
        let arrays = types
            .iter()
            .enumerate()
            .map(|(column, kind)| array(*kind, end - start, (start..end).map(|row| cells.cell(row, column))))
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| ReadError::NotATable {
            seen: format!("columns that do not fit together ({error})"),
        })?;
        batches.push(batch);
        start = end;
    }
    Ok(batches)
}

/// Keeps with a column how its fractions are written.
pub(super) fn keep(field: &mut Field, decimal: Option<&'static str>) {
    if let Some(written) = decimal {
        field.metadata_mut().insert(DECIMAL_KEY.to_owned(), written.to_owned());
    }
}

/// A column of a type, with how its days are written where that is open to doubt in other files.
pub(super) fn field(name: &str, kind: ColumnType) -> Field {
    let field = Field::new(name, data_type(kind), true);
    let order = match kind {
        ColumnType::Date(order) | ColumnType::Timestamp { order, .. } => DateOrder::of_days(order),
        ColumnType::Null | ColumnType::Boolean | ColumnType::Int64 | ColumnType::Float64(_) | ColumnType::Text => None,
    };
    match order {
        Some(order) => field.with_metadata([(DATE_ORDER_KEY.to_owned(), order.word().to_owned())].into()),
        None => field,
    }
}

/// The Arrow type of a column type.
pub(super) fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Null => DataType::Null,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64(_) => DataType::Float64,
        ColumnType::Date(_) => DataType::Date32,
        ColumnType::Timestamp { zoned, .. } => {
            DataType::Timestamp(TimeUnit::Microsecond, if zoned { Some("UTC".into()) } else { None })
        }
        ColumnType::Text => DataType::Utf8,
    }
}

pub(super) fn array<'a>(kind: ColumnType, rows: usize, cells: impl Iterator<Item = &'a str>) -> ArrayRef {
    let trimmed = |cell: &'a str| cell.trim();
    match kind {
        ColumnType::Null => Arc::new(NullArray::new(rows)),
        ColumnType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(rows);
            cells
                .map(trimmed)
                .for_each(|cell| builder.append_option(infer::boolean(cell)));
            Arc::new(builder.finish())
        }
        ColumnType::Int64 => {
            let mut builder = Int64Builder::with_capacity(rows);
            cells
                .map(trimmed)
                .for_each(|cell| builder.append_option(number::whole(cell)));
            Arc::new(builder.finish())
        }
        ColumnType::Float64(style) => {
            let mut builder = Float64Builder::with_capacity(rows);
            cells
                .map(trimmed)
                .for_each(|cell| builder.append_option(style.parse(cell).map(number::Number::as_f64)));
            Arc::new(builder.finish())
        }
        ColumnType::Date(order) => {
            let mut builder = Date32Builder::with_capacity(rows);
            cells
                .map(trimmed)
                .for_each(|cell| builder.append_option(moment::parse(cell, order).map(moment::Moment::days)));
            Arc::new(builder.finish())
        }
        ColumnType::Timestamp { order, .. } => {
            let mut builder = TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(data_type(kind));
            cells
                .map(trimmed)
                .for_each(|cell| builder.append_option(moment::parse(cell, order).map(moment::Moment::micros)));
            Arc::new(builder.finish())
        }
        ColumnType::Text => {
            // Text stays as written; only a cell of nothing but spaces is no value.
            let mut builder = StringBuilder::new();
            cells.for_each(|cell| builder.append_option((!infer::is_empty(cell)).then_some(cell)));
            Arc::new(builder.finish())
        }
    }
}
