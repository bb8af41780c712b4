//! Columns of text that would have a type but for a cell or two: which cell it is, so that somebody can look at it.

use crate::formats::column::Cells;
use crate::formats::infer::{self, Style};
use crate::formats::moment::{self, Order};

/// Fewer numbers prove nothing: names of samples are numbers as well.
const NUMBERS_MIN: usize = 5;
/// Dates are nothing else.
const DATES_MIN: usize = 3;
/// One cell of so many may be odd, and one in any case.
const ODD_ONE_OF: usize = 20;
const ORDERS: [Order; 4] = [Order::YearFirst, Order::DayFirst, Order::MonthFirst, Order::MonthName];
/// Cells after which a column of words is known to be one.
const LOOKED_AT: usize = 100;
/// Characters of the cell that are shown.
const SHOWN_CHARS: usize = 40;

/// Cells that are of no kind, and the first of them.
#[derive(Default)]
struct Odd {
    count: usize,
    first: Option<usize>,
}

impl Odd {
    fn see(&mut self, row: usize, fits: bool) {
        if !fits {
            self.count += 1;
            self.first.get_or_insert(row);
        }
    }

    fn few_of(&self, values: usize) -> Option<usize> {
        let most = (values / ODD_ONE_OF).max(1);
        self.first.filter(|_| self.count <= most)
    }
}

/// Why a column of text is none of numbers or dates: the first of few cells that are neither.
pub(super) fn first(cells: &dyn Cells, column: usize, style: Style) -> Option<String> {
    let (mut values, mut numbers, mut dates) = (0usize, Odd::default(), Odd::default());
    for row in 0..cells.height() {
        let cell = cells.cell(row, column).trim();
        if cell.is_empty() || infer::is_null_word(cell) {
            continue;
        }
        values += 1;
        numbers.see(row, style.parse(cell).is_some());
        dates.see(row, moment::is_moment(cell));
        if values >= LOOKED_AT && numbers.count.min(dates.count) * ODD_ONE_OF > 2 * values {
            return None;
        }
    }
    if dates.count == 0 && values > 1 && numbers.count > 0 {
        let of = |order: Order| {
            (0..cells.height()).filter(move |row| moment::parse(cells.cell(*row, column).trim(), order).is_some())
        };
        let most = ORDERS.into_iter().max_by_key(|order| of(*order).count())?;
        let is_value = |cell: &str| !cell.is_empty() && !infer::is_null_word(cell);
        let row = (0..cells.height()).find(|row| {
            let cell = cells.cell(*row, column).trim();
            is_value(cell) && moment::parse(cell, most).is_none()
        })?;
        return Some(format!(
            "{} is a date written otherwise than the others",
            shown(cells, row, column)
        ));
    }
    let of_numbers = numbers.few_of(values).filter(|_| values >= NUMBERS_MIN);
    let of_dates = dates.few_of(values).filter(|_| values >= DATES_MIN);
    let (row, what) = of_numbers
        .map(|row| (row, "number"))
        .or(of_dates.map(|row| (row, "date")))?;
    Some(format!("{} is no {what}, the others are", shown(cells, row, column)))
}

/// The cell and its place.
fn shown(cells: &dyn Cells, row: usize, column: usize) -> String {
    let cell: String = cells.cell(row, column).trim().chars().take(SHOWN_CHARS).collect();
    match cells.line(row) {
        Some(line) => format!("{cell:?} in row {line} of the file"),
        None => format!("{cell:?} in row {} of its data", row + 1),
    }
}
