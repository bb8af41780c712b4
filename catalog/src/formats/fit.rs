//! Cells read as the type that their column has in its table already: what fits is a value there, and the rest is kept as
//! text beside it (see [`super::rescue`]). Nothing is bent to fit: `007` is no whole number here, as it is none elsewhere.

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, TimeUnit};

use crate::formats::column::{self, Cells};
use crate::formats::infer::{self, ColumnType, Evidence, Style};
use crate::formats::moment::{self, Order};
use crate::formats::number;
use crate::formats::words::Nothing;

/// How days are known to be written: as somebody says, and as the column's table has them, which counts where cells do not tell.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DayOrder {
    pub(super) pinned: Option<Order>,
    pub(super) in_table: Option<Order>,
}

/// How the cells of a column of this type are read; `None` for types that no text is. `found` is what the cells alone say,
/// `style` how the file writes numbers.
pub(super) fn kind<'c>(
    to: &DataType,
    found: ColumnType,
    style: Style,
    order: DayOrder,
    cells: impl Iterator<Item = &'c str>,
) -> Option<ColumnType> {
    let order = || match found {
        ColumnType::Date(order) | ColumnType::Timestamp { order, .. } => order,
        _ => order
            .pinned
            .or_else(|| order_of_most(cells))
            .or(order.in_table)
            // Dates that nothing decides are no dates: they are read in no order they could be written in.
            .unwrap_or(Order::YearFirst),
    };
    match to {
        DataType::Utf8 => Some(ColumnType::Text),
        DataType::Boolean => Some(ColumnType::Boolean),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(ColumnType::Int64),
        DataType::Float32 | DataType::Float64 => Some(match found {
            ColumnType::Float64(style) => ColumnType::Float64(style),
            _ => ColumnType::Float64(style),
        }),
        DataType::Date32 => Some(ColumnType::Date(order())),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => Some(ColumnType::Timestamp {
            order: order(),
            zoned: zone.is_some(),
        }),
        _ => None,
    }
}

/// The one order in which those of the cells can be read that are dates at all.
fn order_of_most<'c>(cells: impl Iterator<Item = &'c str>) -> Option<Order> {
    let mut evidence = Evidence::default();
    cells
        .map(str::trim)
        .filter(|cell| moment::is_moment(cell))
        .for_each(|cell| evidence.see(cell));
    evidence.only_order()
}

/// Whether a value of this kind says all that the trimmed cell says.
pub(super) fn holds(kind: ColumnType, cell: &str) -> bool {
    match kind {
        ColumnType::Null => false,
        ColumnType::Text => true,
        ColumnType::Boolean => infer::boolean(cell).is_some(),
        ColumnType::Int64 => number::parse(cell).is_some() && number::whole(cell).is_some(),
        ColumnType::Float64(style) => style.parse(cell).is_some_and(number::Number::is_exact_f64),
        ColumnType::Date(order) => moment::parse(cell, order).is_some_and(|moment| !moment.has_time),
        ColumnType::Timestamp { order, zoned } => {
            moment::parse(cell, order).is_some_and(|moment| moment.offset_s.is_some() == zoned)
        }
    }
}

/// Whether a cell holds something that a value of this kind does not say. Of the words for "no value" `n.d.` does, as it is a
/// result, and all of them where they are told apart (`told`).
pub(super) fn is_odd(kind: ColumnType, cell: &str, told: bool) -> bool {
    let cell = cell.trim();
    let says = match Nothing::of(cell) {
        None => !cell.is_empty(),
        Some(nothing) => told || nothing == Nothing::NotDetected,
    };
    says && !holds(kind, cell)
}

/// Texts of a format that has no cells, as values of a type; and the rows of those that are none. `None` for types that no
/// text is.
pub(crate) fn texts(texts: &StringArray, to: &DataType) -> Option<(ArrayRef, Vec<usize>)> {
    let of = Texts(texts);
    let rows = || (0..texts.len()).map(|row| of.cell(row, 0));
    let kind = kind(to, ColumnType::Text, Style::Point, DayOrder::default(), rows())?;
    let fits = |cell: &str| cell.trim().is_empty() || holds(kind, cell.trim());
    let odd = (0..texts.len()).filter(|row| !fits(of.cell(*row, 0))).collect();
    let values = column::array(kind, texts.len(), rows().map(|cell| if fits(cell) { cell } else { "" }));
    Some((values, odd))
}

struct Texts<'a>(&'a StringArray);

impl Cells for Texts<'_> {
    fn height(&self) -> usize {
        self.0.len()
    }

    fn cell(&self, row: usize, _: usize) -> &str {
        if self.0.is_valid(row) { self.0.value(row) } else { "" }
    }
}
