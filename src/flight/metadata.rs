//! Catalog questions: what there is to query, for the one who asks. All of it comes from the engine's list of visible
//! tables, so what a policy hides is in no answer and in no count.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::SqlInfoData;
use arrow_flight::sql::{
    Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo,
};
use tonic::Status;

use super::authn::Caller;
use super::service::{Door, misplaced};
use super::{keys, status, xdbc};
use crate::query::statement::CATALOG;
use crate::query::{VisibleTable, column};

const BASE_TABLE: &str = "BASE TABLE";
const VIEW: &str = "VIEW";
/// What many tools call a base table when they ask for one; they get their word back.
const TABLE: &str = "TABLE";

/// A question about the catalog or the server.
pub(super) enum Question<'a> {
    Catalogs(CommandGetCatalogs),
    Schemas(CommandGetDbSchemas),
    Tables(CommandGetTables),
    TableTypes(CommandGetTableTypes),
    PrimaryKeys,
    ForeignKeys,
    /// What is told, which is one thing to those who ask for transactions and another to those who do not.
    SqlInfo(CommandGetSqlInfo, &'a SqlInfoData),
    XdbcTypes(CommandGetXdbcTypeInfo),
}

impl<'a> Question<'a> {
    /// # Errors
    /// INVALID_ARGUMENT when the command asks nothing.
    pub(super) fn from_command(command: Command, caller: &Caller, door: &'a Door) -> Result<Self, Status> {
        Ok(match command {
            Command::CommandGetCatalogs(command) => Self::Catalogs(command),
            Command::CommandGetDbSchemas(command) => Self::Schemas(command),
            Command::CommandGetTables(command) => Self::Tables(command),
            Command::CommandGetTableTypes(command) => Self::TableTypes(command),
            Command::CommandGetPrimaryKeys(_) => Self::PrimaryKeys,
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => Self::ForeignKeys,
            Command::CommandGetSqlInfo(command) => {
                let told = door.sql_info.as_ref();
                let told = told.ok_or_else(|| status::internal("the SqlInfo could not be built"))?;
                Self::SqlInfo(command, told.to(caller.transactions))
            }
            Command::CommandGetXdbcTypeInfo(command) => Self::XdbcTypes(command),
            other => return Err(misplaced(&other, "this method")),
        })
    }

    /// The columns of the answer, the same for everyone.
    pub(super) fn schema(&self) -> Result<SchemaRef, Status> {
        Ok(match self {
            Self::Catalogs(command) => command.into_builder().schema(),
            Self::Schemas(command) => command.clone().into_builder().schema(),
            Self::Tables(command) => command.clone().into_builder().schema(),
            Self::TableTypes(command) => command.into_builder().schema(),
            Self::PrimaryKeys => keys::primary(),
            Self::ForeignKeys => keys::foreign(),
            Self::SqlInfo(command, told) => command.clone().into_builder(told).schema(),
            Self::XdbcTypes(command) => command.into_builder(xdbc::data()?).schema(),
        })
    }
}

impl Door {
    /// Answers a question as the caller may know it.
    pub(super) async fn answer(&self, caller: &Caller, question: Question<'_>) -> Result<RecordBatch, Status> {
        let built = match question {
            Question::Catalogs(command) => {
                let mut builder = command.into_builder();
                builder.append(CATALOG);
                builder.build()
            }
            Question::Schemas(command) => {
                let mut builder = command.into_builder();
                for (catalog, schema) in self.schemas(caller).await? {
                    builder.append(catalog, schema);
                }
                builder.build()
            }
            Question::Tables(command) => tables(command, self.visible(caller).await?),
            Question::TableTypes(command) => {
                let mut builder = command.into_builder();
                for kind in [BASE_TABLE, VIEW] {
                    builder.append(kind);
                }
                builder.build()
            }
            Question::PrimaryKeys => Ok(RecordBatch::new_empty(keys::primary())),
            Question::ForeignKeys => Ok(RecordBatch::new_empty(keys::foreign())),
            Question::SqlInfo(command, told) => command.into_builder(told).build(),
            Question::XdbcTypes(command) => command.into_builder(xdbc::data()?).build(),
        };
        built.map_err(status::of_encoding)
    }

    async fn visible(&self, caller: &Caller) -> Result<Vec<VisibleTable>, Status> {
        self.engine
            .tables(&caller.principal, &caller.client)
            .await
            .map_err(status::of_query)
    }

    pub(super) async fn schemas(&self, caller: &Caller) -> Result<BTreeSet<(String, String)>, Status> {
        Ok(self
            .visible(caller)
            .await?
            .into_iter()
            .map(|table| (table.catalog, table.schema))
            .collect())
    }
}

fn tables(command: CommandGetTables, visible: Vec<VisibleTable>) -> Result<RecordBatch, FlightError> {
    let says_table = command.table_types.iter().any(|kind| kind == TABLE)
        && !command.table_types.iter().any(|kind| kind == BASE_TABLE);
    // Drivers escape what is meant literally; the builder's LIKE knows the backslash that SqlInfo names.
    let mut builder = command.into_builder();
    for table in visible {
        let kind = if says_table && table.kind == BASE_TABLE {
            TABLE
        } else {
            table.kind
        };
        let columns = described_columns(&table);
        builder.append(&table.catalog, &table.schema, &table.table, kind, &columns)?;
    }
    builder.build()
}

/// The columns with what the format lets a server say of them; JDBC's getColumns shows it.
fn described_columns(table: &VisibleTable) -> Schema {
    let fields = table.columns.fields().iter().map(|field| {
        let mut said = field.metadata().clone();
        said.extend(column::told(field.data_type(), table.kind != BASE_TABLE));
        let from = [
            ("CATALOG_NAME", &table.catalog),
            ("SCHEMA_NAME", &table.schema),
            ("DB_SCHEMA_NAME", &table.schema),
            ("TABLE_NAME", &table.table),
        ];
        let remarks = field.metadata().get("comment").map(|comment| ("REMARKS", comment));
        let from = from.into_iter().chain(remarks);
        said.extend(from.map(|(name, value)| (column::key(name), value.clone())));
        Arc::new(Field::clone(field).with_metadata(said))
    });
    let comment = table
        .comment
        .iter()
        .map(|comment| ("comment".to_owned(), comment.clone()));
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), comment.collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::DataType;

    use super::*;

    fn table(schema: &str, name: &str, kind: &'static str) -> VisibleTable {
        let columns = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("price", DataType::Decimal128(12, 2), true),
        ]);
        VisibleTable {
            catalog: CATALOG.into(),
            schema: schema.into(),
            table: name.into(),
            kind,
            columns: Arc::new(columns),
            comment: Some("about".into()),
            about: None,
        }
    }

    fn found(command: CommandGetTables) -> Vec<(String, String)> {
        let visible = vec![
            table("chemistry", "plates", BASE_TABLE),
            table("chemistry", "plate_a", BASE_TABLE),
            table("chemistry", "platexa", BASE_TABLE),
            table("assay", "reactions", VIEW),
        ];
        let batch = tables(command, visible).unwrap();
        let (names, kinds) = (batch.column(2).as_string::<i32>(), batch.column(3).as_string::<i32>());
        names
            .iter()
            .zip(kinds)
            .map(|(n, k)| (n.unwrap().to_owned(), k.unwrap().to_owned()))
            .collect()
    }

    fn names(command: CommandGetTables) -> Vec<String> {
        found(command).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn patterns_and_their_escape_are_understood() {
        let named = |pattern: &str| CommandGetTables {
            table_name_filter_pattern: Some(pattern.into()),
            ..Default::default()
        };
        assert_eq!(names(named("plate_a")), ["plate_a", "platexa"]);
        assert_eq!(names(named("plate\\_a")), ["plate_a"]);
        assert_eq!(names(named("pl%s")), ["plates"]);
        assert!(names(named("")).is_empty());
        let schema = CommandGetTables {
            db_schema_filter_pattern: Some("a%".into()),
            ..Default::default()
        };
        assert_eq!(names(schema), ["reactions"]);
    }

    #[test]
    fn the_catalog_must_match_and_none_is_without_one() {
        let of = |catalog: &str| {
            names(CommandGetTables {
                catalog: Some(catalog.into()),
                ..Default::default()
            })
            .len()
        };
        assert_eq!((of(CATALOG), of("other"), of("")), (4, 0, 0));
    }

    #[test]
    fn table_types_filter_and_a_tool_gets_its_own_word_back() {
        let of = |kinds: &[&str]| {
            let table_types = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            found(CommandGetTables {
                table_types,
                ..Default::default()
            })
        };
        assert_eq!(of(&["VIEW"]), [("reactions".to_owned(), "VIEW".to_owned())]);
        assert_eq!(
            of(&["TABLE"]).iter().map(|(_, kind)| kind.as_str()).collect::<Vec<_>>(),
            ["TABLE"; 3]
        );
        assert_eq!(of(&["BASE TABLE"]).len(), 3);
        assert_eq!(of(&["TABLE", "VIEW"]).len(), 4);
        assert!(of(&["SYSTEM TABLE"]).is_empty());
    }

    #[test]
    fn columns_say_their_type_and_size() {
        let columns = described_columns(&table("chemistry", "plates", BASE_TABLE));
        let price = columns.field(1).metadata();
        assert_eq!(price["ARROW:FLIGHT:SQL:TYPE_NAME"], "DECIMAL");
        assert_eq!(
            (
                price["ARROW:FLIGHT:SQL:PRECISION"].as_str(),
                price["ARROW:FLIGHT:SQL:SCALE"].as_str()
            ),
            ("12", "2")
        );
        assert_eq!(columns.field(0).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "BIGINT");
        assert_eq!(columns.metadata()["comment"], "about");
        let of_view = described_columns(&table("assay", "reactions", VIEW));
        let read_only = |columns: &Schema| columns.field(0).metadata()["ARROW:FLIGHT:SQL:IS_READ_ONLY"].clone();
        assert_eq!(
            (read_only(&columns), read_only(&of_view)),
            ("0".to_owned(), "1".to_owned())
        );
    }
}
