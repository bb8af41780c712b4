//! Who may see what: principals, policy files, decisions, row filters, masks, and the barrier that enforces them.
//!
//! # The model
//! A policy directory holds `model.conf` (the Casbin model, of one shape), `policy.csv` (roles, grants, attachments),
//! `filters.toml` (SQL of row filters and masks) and `secret` (the key of hash masks). [`PolicySet::load`] reads all of it
//! strictly or none of it; [`PolicyStore`] swaps whole sets. A [`Principal`] asks a set two kinds of question:
//! [`PolicySet::decide`] for one object and action, and [`PolicySet::table`] for the shape of a table: which columns, which
//! rows, which values. [`govern`] turns that shape into a table provider that cannot be read in any other.
//!
//! # The road
//! `policy.csv` → strict loader → compiled rules, beside a plain Casbin enforcer that must agree → [`Access`] with expressions
//! that are typed, total and bound to the principal → [`govern`] → a leaf in the user's plan. Below the leaf: scan, row
//! filter, masks. Above it: whatever the user wrote. The leaf can be cut into [`slices`] and sent to other nodes of the
//! lake ([`wire`]), always whole: nothing outside this crate looks below.
//!
//! # What is deliberately absent
//! No default grant: what nothing allows is refused. No user's expression below the barrier, but comparisons that cannot fail
//! or tell. No subquery, volatile function or fallible cast in a filter. No text pasted into SQL. No Delta, no network, no
//! session of its own: planning below the barrier uses the session the server hands in.

mod access;
mod action;
mod attached;
mod barrier;
mod check;
mod compile;
mod decision;
mod defaults;
mod distinct;
mod explain;
mod filters;
mod index;
mod inside;
mod mask;
mod model_conf;
mod nested;
mod object;
mod oracle;
mod principal;
mod problem;
mod remember;
mod roles;
mod rows;
mod rules;
mod secret;
mod set;
mod store;
mod template;
mod total;
mod until;
mod verify;
pub mod wire;

pub use access::{Access, TableAccess, TableObject};
pub use action::{Action, UnknownAction};
pub use barrier::{
    Reading, Travel, govern, is_governed_scan, learn, public_schema, reads_only, scan_bytes, slices, travel,
};
pub use decision::{Decision, Reason, RuleRef};
pub use defaults::default_files;
pub use distinct::bind_distinct;
pub use explain::{
    Closed, ColumnVerdict, ColumnWhy, Explanation, Fact, FilterWhy, Nearest, RowVerdict, RuleLine, Verdict,
};
pub use object::Tags;
pub use oracle::OracleError;
pub use principal::{Attribute, Principal, ROLES_BROUGHT};
pub use problem::{PolicyErrors, Problem, Severity};
pub use set::{PolicyFiles, PolicySet};
pub use store::PolicyStore;
pub use total::never_fails;
