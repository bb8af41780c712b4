//! What is kept with a column of how its files write it, for files whose values leave that open.

/// The key under which a column of days keeps how they were written, where a file's values alone may leave it open.
pub(crate) const DATE_ORDER_KEY: &str = "labhouse.date_order";

/// The key under which a column of numbers keeps the sign before their fractions, where the numbers themselves show it.
pub(crate) const DECIMAL_KEY: &str = "labhouse.decimal";
/// What stands there for a column all of whose points may part thousands as well. It is kept of no table.
pub(crate) const DECIMAL_UNSURE: &str = "?";

/// The key under which a column keeps the unit of its numbers.
pub(crate) const UNIT_KEY: &str = "unit";
