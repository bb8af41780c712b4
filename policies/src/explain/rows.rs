//! Why a row is shown or not: what each row filter says of it.

use std::collections::BTreeSet;

use arrow::array::{Array, RecordBatch};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;

use super::Explanation;
use crate::access::TableAccess;

/// The fate of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowVerdict {
    /// Whether the principal sees it: the answer of [`crate::Access::shows`].
    pub shown: bool,
    /// What each filter of [`Explanation::filters`] says of it; `None` is SQL's NULL, which shows nothing.
    pub says: Vec<Option<bool>>,
}

impl Explanation {
    /// The columns that the row filters look at.
    pub fn judged_by(&self) -> BTreeSet<String> {
        let looked_at = self.filters.iter().flat_map(|filter| filter.condition.column_refs());
        looked_at.map(|column| column.name.clone()).collect()
    }

    /// Judges raw rows, which must have every column of the table. All are hidden where the table is.
    ///
    /// # Errors
    /// The rows lack a column, or the engine fails.
    pub fn judge(&self, rows: &RecordBatch, state: &SessionState) -> Result<Vec<RowVerdict>, DataFusionError> {
        let TableAccess::Open(access) = &self.access else {
            let hidden = RowVerdict {
                shown: false,
                says: Vec::new(),
            };
            return Ok(vec![hidden; rows.num_rows()]);
        };
        let shown = access.shows(rows, state)?;
        let raw = access.raw(rows)?;
        let said = self
            .filters
            .iter()
            .map(|filter| access.weighed(&filter.condition, &raw, state))
            .collect::<Result<Vec<_>, _>>()?;
        let of_row = |at: usize| RowVerdict {
            shown: shown.value(at),
            says: said
                .iter()
                .map(|says| (!says.is_null(at)).then(|| says.value(at)))
                .collect(),
        };
        Ok((0..rows.num_rows()).map(of_row).collect())
    }
}
