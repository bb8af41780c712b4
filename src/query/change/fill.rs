//! What a statement that writes asks for, and which columns the answers fill: the types of its parameters follow.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{Expr, Query, SelectItem, SetExpr};
use labhouse_policies::Access;

use super::{Effect, filled, position, visible};
use crate::engine::Engine;
use crate::query::open::number_of;
use crate::query::statement::{ModelSource, Statement};
use crate::session::Governed;

/// A query of a statement that writes.
pub(in crate::query) struct Fill {
    pub(in crate::query) query: Box<Query>,
    /// For each of its columns the type of what it fills; none where it fills nothing that its author sees.
    types: Vec<Option<DataType>>,
}

impl Fill {
    /// Of a query whose rows become a table of their own.
    fn alone(query: Box<Query>) -> Self {
        Self {
            query,
            types: Vec::new(),
        }
    }

    /// The parameters that are values as they stand, each with the type of the column that it fills.
    pub(in crate::query) fn filling(&self) -> BTreeMap<usize, DataType> {
        let mut found = BTreeMap::new();
        self.fill(&self.query.body, &mut found);
        found
    }

    fn fill(&self, body: &SetExpr, found: &mut BTreeMap<usize, DataType>) {
        match body {
            SetExpr::Values(values) => values.rows.iter().for_each(|row| self.put(row.iter().map(Some), found)),
            SetExpr::Select(select) => {
                let items = select.projection.iter().map(|item| match item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
                    _ => None,
                });
                self.put(items, found);
            }
            SetExpr::Query(query) => self.fill(&query.body, found),
            _ => {}
        }
    }

    fn put<'a>(&self, values: impl Iterator<Item = Option<&'a Expr>>, found: &mut BTreeMap<usize, DataType>) {
        for (value, data_type) in values.zip(&self.types) {
            if let (Some(number), Some(data_type)) = (value.and_then(number_of), data_type) {
                found.entry(number).or_insert_with(|| data_type.clone());
            }
        }
    }
}

impl Engine {
    /// What a statement asks for, and the session it asks in; nothing when its author does not see what it is to change.
    pub(in crate::query) fn fills(
        &self,
        governed: &Arc<Governed>,
        state: Arc<SessionState>,
        statement: Statement,
    ) -> (Arc<SessionState>, Vec<Fill>) {
        let filling = |access: &Access, names: &[String]| {
            let type_of = |name: &String| {
                let at = position(access, name)?;
                Some(access.schema.fields().get(at)?.data_type().clone())
            };
            names.iter().map(type_of).collect::<Vec<_>>()
        };
        match statement {
            Statement::Insert { name, columns, query } => {
                let fills = visible(governed, &name).map(|(access, _)| Fill {
                    query,
                    types: filling(&access, &filled(&columns, &access)),
                });
                (state, fills.into_iter().collect())
            }
            Statement::Change(change) => {
                let view = visible(governed, &change.target).and_then(|(access, table)| {
                    Ok((self.addressed(governed, &access, &table, &change.hidden)?, access))
                });
                let opened = view.ok().and_then(|(view, access)| {
                    let state = self.sessions.open(&view).ok()?;
                    Some((Arc::new(state), access))
                });
                let Some((state, access)) = opened else {
                    return (state, Vec::new());
                };
                let fills = change.parts.into_iter().map(|part| Fill {
                    query: part.query,
                    types: match part.effect {
                        Effect::Delete => Vec::new(),
                        Effect::Insert(columns) => filling(&access, &filled(&columns, &access)),
                        // The first column is the address.
                        Effect::Update(columns) => [vec![None], filling(&access, &columns)].concat(),
                    },
                });
                (state, fills.collect())
            }
            Statement::CreateTableAs { query, .. } => (state, vec![Fill::alone(query)]),
            Statement::CreateModel(model) => match model.source {
                ModelSource::Query(query) => (state, vec![Fill::alone(query)]),
                ModelSource::File(_) => (state, Vec::new()),
            },
            Statement::Read(_)
            | Statement::ExplainPolicy(_)
            | Statement::Upkeep(_)
            | Statement::View(_)
            | Statement::Library(_)
            | Statement::Alert(_)
            | Statement::Quarantine(_)
            | Statement::CancelQuery(_)
            | Statement::DropModel { .. }
            | Statement::SetModelVersion { .. }
            | Statement::SetModelFunction { .. }
            | Statement::SetTags { .. } => (state, Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn a_parameter_that_is_a_value_has_the_type_of_its_column_and_others_have_none() {
        let filling = |text: &str| {
            let query = Parser::new(&GenericDialect {})
                .try_with_sql(text)
                .unwrap()
                .parse_query();
            let types = vec![Some(DataType::Int64), None, Some(DataType::Utf8)];
            let fill = Fill {
                query: query.unwrap(),
                types,
            };
            fill.filling().into_iter().collect::<Vec<_>>()
        };
        let (number, text) = (DataType::Int64, DataType::Utf8);
        for (query, found) in [
            (
                "VALUES ($2, $3, $1), (4, 5, $4)",
                vec![(1, text.clone()), (2, number.clone()), (4, text.clone())],
            ),
            ("VALUES ($1 + 1, $2, upper($3))", vec![]),
            (
                "SELECT $1, a, $2 AS b FROM t WHERE c = $3",
                vec![(1, number.clone()), (2, text.clone())],
            ),
            ("(SELECT $1)", vec![(1, number.clone())]),
            ("SELECT $1 UNION ALL SELECT $2", vec![]),
        ] {
            assert_eq!(filling(query), found, "{query}");
        }
    }
}
