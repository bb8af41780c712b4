//! What the cells of a column say of the order in which its dates are written.

use crate::formats::infer::ColumnType;
use crate::formats::moment::{self, Order};

const ORDERS: [Order; 4] = [Order::YearFirst, Order::DayFirst, Order::MonthFirst, Order::MonthName];

/// Counts over the cells of one column that are dates.
#[derive(Debug, Clone, Default)]
pub(super) struct Dates {
    /// How many each of the orders reads.
    orders: [usize; 4],
    dotted: usize,
    /// Days that two orders read differently.
    ambiguous: usize,
    /// Dates such as `12/03/14`, which may have their year first.
    maybe_year_first: usize,
    /// `14.03.26`, which may be the number of a version.
    short_dotted: usize,
    timed: usize,
    zoned: usize,
}

impl Dates {
    /// Takes a trimmed cell into account; whether it is a date.
    pub(super) fn see(&mut self, cell: &str) -> bool {
        if !cell.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return false;
        }
        let parsed = ORDERS.map(|order| moment::parse(cell, order));
        for (count, moment) in self.orders.iter_mut().zip(&parsed) {
            *count += usize::from(moment.is_some());
        }
        let [_, day, month, _] = &parsed;
        if let (Some(day), Some(month)) = (day, month) {
            self.ambiguous += usize::from(day != month);
        }
        let Some(first) = parsed.iter().flatten().next() else {
            return false;
        };
        self.timed += usize::from(first.has_time);
        self.zoned += usize::from(first.offset_s.is_some());
        let date_length = cell.find([' ', 'T']).unwrap_or(cell.len());
        let dots = cell.bytes().take(date_length).filter(|byte| *byte == b'.').count();
        let year_first = parsed.first().is_some_and(Option::is_some);
        let is_short = moment::is_short_dotted(cell);
        self.short_dotted += usize::from(is_short);
        self.dotted += usize::from(dots == 2 && !year_first && !is_short);
        self.maybe_year_first += usize::from(moment::may_be_short_year_first(cell));
        true
    }

    /// Takes a cell as `2026-03-04` into account.
    pub(super) fn see_iso(&mut self) {
        let [year, ..] = &mut self.orders;
        *year += 1;
    }

    /// Takes in what was seen in other cells of the same column.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            orders,
            dotted,
            ambiguous,
            maybe_year_first,
            short_dotted,
            timed,
            zoned,
        } = other;
        for (count, more) in [
            (&mut self.dotted, dotted),
            (&mut self.ambiguous, ambiguous),
            (&mut self.maybe_year_first, maybe_year_first),
            (&mut self.short_dotted, short_dotted),
            (&mut self.timed, timed),
            (&mut self.zoned, zoned),
        ] {
            *count += more;
        }
        for (count, more) in self.orders.iter_mut().zip(orders) {
            *count += more;
        }
    }

    /// Whether some date has its day, month and year parted by points, and can be nothing else.
    pub(super) fn are_dotted(&self) -> bool {
        self.dotted > 0
    }

    /// The type of a column of so many values, dates all of them in this order.
    pub(super) fn kind(&self, values: usize, order: Order) -> ColumnType {
        if self.timed == 0 {
            ColumnType::Date(order)
        } else if self.zoned > 0 && self.zoned < values {
            ColumnType::Text
        } else {
            ColumnType::Timestamp {
                order,
                zoned: self.zoned > 0,
            }
        }
    }

    /// What is not known of dates whose parts cannot be told apart.
    pub(super) fn undecided(&self, values: usize) -> Option<&'static str> {
        let all = |count: usize| count == values;
        let [_, day, month, _] = self.orders;
        if self.order(values).is_some() || !(all(day) || all(month)) {
            None
        } else if self.short_dotted > 0 {
            Some("its values may be days with years of two digits, or numbers of versions")
        } else if all(self.maybe_year_first) {
            Some("its dates may start with the day, the month or the year")
        } else {
            (all(day) && all(month)).then_some("its dates may start with the day or the month")
        }
    }

    /// The order of so many values; a known one is not contradicted: dates that only another order reads have none.
    pub(super) fn order_as(&self, values: usize, known: Option<Order>) -> Option<Order> {
        let Some(known) = known else { return self.order(values) };
        let [year, day, month, name] = self.orders.map(|count| count == values);
        match known {
            Order::DayFirst if day => Some(known),
            Order::MonthFirst if month => Some(known),
            Order::YearFirst | Order::MonthName if year => Some(Order::YearFirst),
            _ if year => Some(Order::YearFirst),
            _ if name => Some(Order::MonthName),
            _ => None,
        }
    }

    /// The one order that reads so many values.
    pub(super) fn order(&self, values: usize) -> Option<Order> {
        let [year, day, month, name] = self.orders.map(|count| count == values);
        if year {
            Some(Order::YearFirst)
        } else if name {
            Some(Order::MonthName)
        } else if self.maybe_year_first == values || self.short_dotted > 0 {
            None
        } else if day && (!month || self.ambiguous == 0 || self.dotted == values) {
            // Dots are written between day and month, never between month and day.
            Some(Order::DayFirst)
        } else if month && !day && self.dotted == 0 {
            Some(Order::MonthFirst)
        } else {
            None
        }
    }
}
