//! Substrait plans: the query that a plan asks, written in SQL.
//!
//! There is one road to data, and it begins with a statement. A plan is therefore not planned beside it: it is written as the
//! query that it means, and this text is all that the rest of the server ever sees. Whatever holds for a statement (which
//! tables there are and what is seen of them, barred functions, sizes and depths, limits, tokens, transactions, results that
//! are kept, the audit and `system.queries`) holds for it, because it is one.
//!
//! Each relation is called `r1`, `r2`, … and its columns `c0`, `c1`, …, which is what the positions in a plan become; what can
//! stand in one SELECT stands in one. Names from outside are names of tables, columns and functions, always in quotes, and values, always literals. No
//! expression is written twice, so the text grows with the plan and with nothing else; how far is measured while it grows.
//!
//! A plan reads, or it is refused: so are plans that name files, and everything whose meaning is not certain.

mod expressions;
mod functions;
mod messages;
mod relations;
mod types;

use std::collections::HashMap;

use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedSubstraitPlanRequest, CommandStatementQuery,
    CommandStatementSubstraitPlan, SubstraitPlan,
};
use prost::Message;
use tonic::Status;

use self::messages::{Declared, Literal, Named, Plan, PlanRelKind};
use self::relations::{Field, Relation};
use super::authn::Caller;
use super::service::Door;
use super::status;
use crate::query::QueryError;

/// The oldest and the newest version whose messages are read: from compound names of functions on, and as far as was looked.
pub(super) const VERSIONS: [&str; 2] = ["0.32.0", "0.108.0"];

/// From this minor version on a fetch without a count surely is one of all rows.
const OPTIONAL_COUNT: u32 = 75;

type Made<T> = Result<T, QueryError>;

impl Door {
    /// The statement that a plan is.
    ///
    /// # Errors
    /// The plan cannot be read, or means what this server does not do.
    pub(super) async fn query_of(
        &self,
        caller: &Caller,
        command: CommandStatementSubstraitPlan,
    ) -> Result<CommandStatementQuery, Status> {
        let CommandStatementSubstraitPlan { plan, transaction_id } = command;
        let query = self.asked_by(caller, plan.as_ref(), transaction_id.as_deref()).await?;
        Ok(CommandStatementQuery { query, transaction_id })
    }

    /// The statement that a plan to be prepared is.
    ///
    /// # Errors
    /// As of `query_of`.
    pub(super) async fn statement_of(
        &self,
        caller: &Caller,
        request: ActionCreatePreparedSubstraitPlanRequest,
    ) -> Result<ActionCreatePreparedStatementRequest, Status> {
        let ActionCreatePreparedSubstraitPlanRequest { plan, transaction_id } = request;
        let query = self.asked_by(caller, plan.as_ref(), transaction_id.as_deref()).await?;
        Ok(ActionCreatePreparedStatementRequest { query, transaction_id })
    }

    /// The query that a plan asks, in SQL. A plan that is refused here is accounted for like a refused statement.
    async fn asked_by(
        &self,
        caller: &Caller,
        plan: Option<&SubstraitPlan>,
        transaction: Option<&[u8]>,
    ) -> Result<String, Status> {
        let place = self.place(caller, transaction)?;
        let plan = plan.map_or(&[] as &[u8], |plan| plan.plan.as_ref());
        match query(plan, self.engine.config.limits.statement_bytes) {
            Ok(sql) => Ok(sql),
            Err(error) => {
                let told = format!("a Substrait plan of {} bytes", plan.len());
                let error = self.engine.refuse(&caller.principal, &place.client, &told, error).await;
                Err(status::of_query(error))
            }
        }
    }
}

/// The query that a plan asks.
///
/// # Errors
/// `Invalid` for what is no plan or is too large, `Denied` for one that names files, `Unsupported` for one that means more than
/// is read here.
pub(super) fn query(plan: &[u8], bytes_max: usize) -> Made<String> {
    if plan.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    let plan = Plan::decode(plan)
        .map_err(|error| QueryError::Invalid(format!("the Substrait plan cannot be read: {error}")))?;
    let sql = Writer::new(&plan, bytes_max)?.plan(&plan)?;
    match sql.len() > bytes_max {
        true => Err(too_large(bytes_max)),
        false => Ok(sql),
    }
}

/// Writes one plan.
struct Writer<'a> {
    functions: HashMap<u32, &'a Named>,
    types: HashMap<u32, &'a str>,
    /// Values that the plan itself gives its parameters.
    bound: HashMap<u32, &'a Literal>,
    /// Relations that were named so far.
    relations: usize,
    /// The columns in sight outside of the subquery that is being written, the nearest last.
    outside: Vec<Vec<Field>>,
    /// It is of a version in which fields that are not written are zero.
    is_old: bool,
    /// Bytes of names and values that may still be written.
    left: usize,
    bytes_max: usize,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, bytes_max: usize) -> Made<Self> {
        relations::plain(plan.advanced_extensions.as_ref())?;
        if plan.version.as_ref().is_some_and(|version| version.major_number > 0) {
            let [_, newest] = VERSIONS;
            return Err(unsupported(&format!("a version of Substrait after {newest}")));
        }
        let (mut functions, mut types) = (HashMap::new(), HashMap::new());
        for declaration in &plan.extensions {
            match &declaration.declared {
                Some(Declared::Function(function)) => functions.insert(function.anchor, function).map(drop),
                Some(Declared::Type(own)) => types.insert(own.anchor, own.name.as_str()).map(drop),
                Some(Declared::Variation(_)) => return Err(unsupported("a variation of a type")),
                None => None,
            };
        }
        let mut bound = HashMap::new();
        for binding in &plan.parameter_bindings {
            let Some(value) = &binding.value else {
                return Err(invalid("a parameter is bound to no value"));
            };
            bound.insert(binding.anchor, value);
        }
        Ok(Self {
            functions,
            types,
            bound,
            relations: 0,
            outside: Vec::new(),
            is_old: plan
                .version
                .as_ref()
                .is_none_or(|version| version.minor_number < OPTIONAL_COUNT),
            left: bytes_max,
            bytes_max,
        })
    }

    fn plan(&mut self, plan: &'a Plan) -> Made<String> {
        let relation = match plan.relations.as_slice() {
            [] => return Err(invalid("it asks nothing")),
            [relation] => relation,
            _ => return Err(unsupported("more than one query in a plan")),
        };
        match &relation.kind {
            Some(PlanRelKind::Root(root)) => {
                let input = self.input(root.input.as_deref())?;
                self.named(input, &root.names)
            }
            Some(PlanRelKind::Rel(relation)) => {
                let relation = self.relation(relation)?;
                let titles: Vec<String> = (0..relation.fields.len()).map(|at| format!("c{at}")).collect();
                self.titled(relation, &titles)
            }
            None => Err(invalid("a plan has no query")),
        }
    }

    /// Gives the columns of the result their names; those within structs keep the names they have.
    fn named(&mut self, input: Relation, names: &[String]) -> Made<String> {
        let fields = input.fields.as_slice();
        let within: usize = fields.iter().map(|field| field.shape.names).sum();
        let is_flat = names.len() == fields.len();
        if !is_flat && names.len() != fields.len() + within {
            return Err(invalid(&format!(
                "the plan has {} names for {} columns",
                names.len(),
                fields.len()
            )));
        }
        let (mut names, mut taken, mut titles) = (names.iter(), HashMap::new(), Vec::new());
        for field in fields {
            let name = names.next().map_or("", String::as_str);
            if let Some(within) = field.shape.names.checked_sub(1).filter(|_| !is_flat) {
                names.nth(within);
            }
            titles.push(unique(&mut taken, name));
        }
        self.titled(input, &titles)
    }

    /// Counts bytes of names and values before they are written.
    fn spend(&mut self, bytes: usize) -> Made<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(too_large(self.bytes_max)),
        }
    }
}

/// A name that no column before has: SQL has no two columns of one name where a plan may have. `taken` knows of each how often
/// it came.
fn unique(taken: &mut HashMap<String, usize>, name: &str) -> String {
    let mut title = name.to_owned();
    let mut count = taken.get(name).copied().unwrap_or(0);
    while taken.contains_key(&title) {
        count += 1;
        title = format!("{name}_{}", count.saturating_add(1));
    }
    taken.insert(name.to_owned(), count);
    taken.entry(title.clone()).or_insert(0);
    title
}

/// A name in quotes; nothing in it ends them.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn invalid(what: &str) -> QueryError {
    QueryError::Invalid(format!("the Substrait plan cannot be read: {what}"))
}

fn unsupported(what: &str) -> QueryError {
    QueryError::Unsupported(format!(
        "this server does not take Substrait plans with {what}; send the query as SQL"
    ))
}

fn too_large(bytes_max: usize) -> QueryError {
    QueryError::Invalid(format!(
        "the Substrait plan is a statement of more than {bytes_max} bytes, more are not taken (limits.statement_bytes); put long lists into a table and join it"
    ))
}

#[cfg(test)]
mod tests;
