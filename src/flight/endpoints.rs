//! Several endpoints of one result, for clients that read side by side and say so with the header `labhouse-endpoints: 4`.
//!
//! Only of what is the same in parts as in one piece (see `query::parts`), for a caller who sees the whole table: how many data files a
//! table has, and how many rows are in each, says something of the rows that are hidden. Without the header, and where the result is
//! small, bounded by `[limits]` or of a transaction, there is one endpoint.

use tonic::Status;
use tonic::metadata::MetadataMap;

use super::authn::Caller;
use super::service::Door;
use super::statements::StatementTicket;
use crate::query::{Description, Part};

/// Asks for so many endpoints at most.
const HEADER: &str = "labhouse-endpoints";
const ENDPOINTS_MAX: usize = 16;
/// Rows that are worth a call of their own.
const ROWS_MIN: usize = 50_000;

/// How many endpoints a call asks for at most.
///
/// # Errors
/// INVALID_ARGUMENT for anything but a number of 1 to 16.
pub(super) fn asked(headers: &MetadataMap) -> Result<usize, Status> {
    let Some(value) = headers.get(HEADER) else { return Ok(1) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number
        .filter(|number| (1..=ENDPOINTS_MAX).contains(number))
        .ok_or_else(|| Status::invalid_argument(format!("the header {HEADER} takes a number of 1 to {ENDPOINTS_MAX}")))
}

impl Door {
    /// What each ticket of a statement's result fetches; none stands for all of it.
    pub(super) fn parts(
        &self,
        caller: &Caller,
        ticket: &StatementTicket,
        description: &Description,
    ) -> Vec<Option<Part>> {
        let limits = &self.engine.config.limits;
        let is_bounded = limits.result_rows > 0 || limits.result_mib > 0;
        let is_simple = ticket.bound.is_none() && ticket.transaction.is_none() && !ticket.writes;
        let divisible = description.divisible.as_ref().filter(|_| is_simple && !is_bounded);
        let most = divisible
            .and_then(|of| of.rows)
            .map_or(1, |rows| caller.endpoints.min(rows / ROWS_MIN));
        match divisible {
            Some(divisible) if most > 1 => divisible.parts(most).map(Some).collect(),
            Some(_) | None => vec![None],
        }
    }
}
