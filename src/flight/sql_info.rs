//! What the server says of itself: every code of GetSqlInfo. Tableau and Metabase fail on a missing one, and JDBC casts
//! each to one Java type, noted where the format's text and the driver differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use datafusion::functions;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

use super::prepared::HANDLE_LIFETIME;
use super::substrait::VERSIONS;
use crate::config::Limits;
use crate::query::IDLE_MAX;

/// Words of labhouse's own statements that are no keywords of the parser.
const OWN_KEYWORDS: [&str; 7] = [
    "ALERT",
    "FORECAST",
    "LIBRARY",
    "MODEL",
    "NOTIFY",
    "RECOMMENDATIONS",
    "REFRESH",
];

/// One of the union's types. `Number` holds ordinals and bit masks.
#[derive(Debug, PartialEq)]
enum Value {
    Text(&'static str),
    Flag(bool),
    Number(i32),
    Long(i64),
    Words(Vec<String>),
    Map(BTreeMap<i32, Vec<i32>>),
}

/// The answers to GetSqlInfo: one for who asks for transactions and one for who does not.
pub(super) struct Told {
    with: SqlInfoData,
    without: SqlInfoData,
}

impl Told {
    /// What is true under these limits.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let built = |transactions| {
            let mut builder = SqlInfoDataBuilder::new();
            for (name, value) in all(transactions, limits) {
                value.append_to(&mut builder, name);
            }
            builder.build().ok()
        };
        Some(Self {
            with: built(true)?,
            without: built(false)?,
        })
    }

    pub(super) fn to(&self, asks_for_transactions: bool) -> &SqlInfoData {
        if asks_for_transactions {
            &self.with
        } else {
            &self.without
        }
    }
}

impl Value {
    fn append_to(self, builder: &mut SqlInfoDataBuilder, name: SqlInfo) {
        match self {
            Self::Text(value) => builder.append(name, value),
            Self::Flag(value) => builder.append(name, value),
            Self::Number(value) => builder.append(name, value),
            Self::Long(value) => builder.append(name, value),
            Self::Words(value) => builder.append(name, value),
            Self::Map(value) => builder.append(name, value),
        }
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Number(value)
    }
}

fn all(transactions: bool, of: &Limits) -> impl Iterator<Item = (SqlInfo, Value)> + use<> {
    let of_transactions = if transactions { with_transactions() } else { without() };
    server()
        .into_iter()
        .chain(words())
        .chain(language())
        .chain(limits(of))
        .chain(of_transactions)
        .chain(results())
}

fn server() -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    vec![
        (I::FlightSqlServerName, "labhouse".into()),
        (I::FlightSqlServerVersion, env!("CARGO_PKG_VERSION").into()),
        (I::FlightSqlServerArrowVersion, arrow::ARROW_VERSION.into()),
        (I::FlightSqlServerReadOnly, false.into()),
        (I::FlightSqlServerSql, true.into()),
        (I::FlightSqlServerSubstrait, true.into()),
        (I::FlightSqlServerSubstraitMinVersion, VERSIONS[0].into()),
        (I::FlightSqlServerSubstraitMaxVersion, VERSIONS[1].into()),
        (I::FlightSqlServerCancel, true.into()),
        (I::FlightSqlServerBulkIngestion, true.into()),
        (
            I::FlightSqlServerStatementTimeout,
            i32::try_from(HANDLE_LIFETIME.as_millis()).unwrap_or(i32::MAX).into(),
        ),
    ]
}

fn words() -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    let keywords: BTreeSet<&str> = ALL_KEYWORDS.iter().chain(&OWN_KEYWORDS).copied().collect();
    vec![
        (
            I::SqlKeywords,
            Value::Words(keywords.into_iter().map(str::to_owned).collect()),
        ),
        (I::SqlNumericFunctions, names([functions::math::functions()])),
        (
            I::SqlStringFunctions,
            names([
                functions::string::functions(),
                functions::unicode::functions(),
                functions::regex::functions(),
            ]),
        ),
        (
            I::SqlSystemFunctions,
            names([
                functions::core::functions(),
                functions::crypto::functions(),
                functions::encoding::functions(),
            ]),
        ),
        (I::SqlDatetimeFunctions, names([functions::datetime::functions()])),
        (I::SqlSearchStringEscape, "\\".into()),
        (I::SqlExtraNameCharacters, "".into()),
        (I::SqlIdentifierQuoteChar, "\"".into()),
        (
            I::SqlIdentifierCase,
            (SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32).into(),
        ),
        // The format has no word for "as written": unknown is its number 0.
        (
            I::SqlQuotedIdentifierCase,
            (SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32).into(),
        ),
        (I::SqlSchemaTerm, "schema".into()),
        (I::SqlProcedureTerm, "procedure".into()),
        (I::SqlCatalogTerm, "catalog".into()),
        (I::SqlCatalogAtStart, true.into()),
    ]
}

fn language() -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    vec![
        (I::SqlDdlCatalog, false.into()),
        (I::SqlDdlSchema, false.into()),
        (I::SqlDdlTable, true.into()),
        // What may not be read is not listed.
        (I::SqlAllTablesAreSelectable, true.into()),
        // ASC puts nulls last, DESC first.
        (I::SqlNullOrdering, (SqlNullOrdering::SqlNullsSortedHigh as i32).into()),
        (I::SqlSupportsColumnAliasing, true.into()),
        (I::SqlNullPlusNullIsNull, true.into()),
        (I::SqlSupportsConvert, Value::Map(conversions())),
        (I::SqlSupportsTableCorrelationNames, true.into()),
        (I::SqlSupportsDifferentTableCorrelationNames, false.into()),
        (I::SqlSupportsExpressionsInOrderBy, true.into()),
        (I::SqlSupportsOrderByUnrelated, true.into()),
        (
            I::SqlSupportedGroupBy,
            mask(&[
                SqlSupportedGroupBy::SqlGroupByUnrelated as u32,
                SqlSupportedGroupBy::SqlGroupByBeyondSelect as u32,
            ]),
        ),
        (I::SqlSupportsLikeEscapeClause, true.into()),
        // Every column of the lake may be null.
        (I::SqlSupportsNonNullableColumns, false.into()),
        (
            I::SqlSupportedGrammar,
            mask(&[
                SupportedSqlGrammar::SqlMinimumGrammar as u32,
                SupportedSqlGrammar::SqlCoreGrammar as u32,
            ]),
        ),
        // Entry and intermediate level.
        (I::SqlAnsi92SupportedLevel, mask(&[0, 1])),
        (I::SqlSupportsIntegrityEnhancementFacility, false.into()),
        // The format's text says ordinal, JDBC reads bits: limited (1) and full (2) are both bits here.
        (
            I::SqlOuterJoinsSupportLevel,
            mask(&[
                SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins as u32,
                SqlOuterJoinsSupportLevel::SqlFullOuterJoins as u32,
            ]),
        ),
        (I::SqlSchemasSupportedActions, 0_i32.into()),
        (I::SqlCatalogsSupportedActions, 0_i32.into()),
        (I::SqlSupportedPositionedCommands, 0_i32.into()),
        (I::SqlSelectForUpdateSupported, false.into()),
        (I::SqlStoredProceduresSupported, false.into()),
        (
            I::SqlSupportedSubqueries,
            mask(&[
                SqlSupportedSubqueries::SqlSubqueriesInComparisons as u32,
                SqlSupportedSubqueries::SqlSubqueriesInExists as u32,
                SqlSupportedSubqueries::SqlSubqueriesInIns as u32,
                SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as u32,
            ]),
        ),
        (I::SqlCorrelatedSubqueriesSupported, true.into()),
        (
            I::SqlSupportedUnions,
            mask(&[
                SqlSupportedUnions::SqlUnion as u32,
                SqlSupportedUnions::SqlUnionAll as u32,
            ]),
        ),
    ]
}

/// 0 is the format's word for "no limit, or not known".
fn limits(of: &Limits) -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    let unlimited = [
        I::SqlMaxBinaryLiteralLength,
        I::SqlMaxCharLiteralLength,
        I::SqlMaxColumnNameLength,
        I::SqlMaxColumnsInGroupBy,
        I::SqlMaxColumnsInIndex,
        I::SqlMaxColumnsInOrderBy,
        I::SqlMaxColumnsInSelect,
        I::SqlMaxColumnsInTable,
        I::SqlMaxConnections,
        I::SqlMaxCursorNameLength,
        I::SqlMaxIndexLength,
        I::SqlDbSchemaNameLength,
        I::SqlMaxProcedureNameLength,
        I::SqlMaxCatalogNameLength,
        I::SqlMaxRowSize,
        I::SqlMaxStatements,
        I::SqlMaxTableNameLength,
        I::SqlMaxTablesInSelect,
        I::SqlMaxUsernameLength,
    ];
    let mut limits: Vec<_> = unlimited.into_iter().map(|name| (name, Value::Long(0))).collect();
    let statement = i64::try_from(of.statement_bytes).unwrap_or(i64::MAX);
    limits.push((I::SqlMaxStatementLength, Value::Long(statement)));
    limits.push((I::SqlMaxRowSizeIncludesBlobs, true.into()));
    limits
}

/// For who asks for transactions: of one table, and what defines tables commits.
fn with_transactions() -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    let level = SqlTransactionIsolationLevel::SqlTransactionReadCommitted;
    vec![
        (
            I::FlightSqlServerTransaction,
            (SqlSupportedTransaction::Savepoint as i32).into(),
        ),
        (I::FlightSqlServerIngestTransactionsSupported, true.into()),
        (
            I::FlightSqlServerTransactionTimeout,
            i32::try_from(IDLE_MAX.as_millis()).unwrap_or(i32::MAX).into(),
        ),
        (I::SqlDefaultTransactionIsolation, Value::Long(level as i64)),
        (I::SqlTransactionsSupported, true.into()),
        (I::SqlSupportedTransactionsIsolationLevels, mask(&[level as u32])),
        (I::SqlDataDefinitionCausesTransactionCommit, true.into()),
        (I::SqlDataDefinitionsInTransactionsIgnored, false.into()),
        (I::SqlSavepointsSupported, true.into()),
    ]
}

/// For everybody else: each statement commits by itself.
fn without() -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    vec![
        (
            I::FlightSqlServerTransaction,
            (SqlSupportedTransaction::None as i32).into(),
        ),
        (I::FlightSqlServerIngestTransactionsSupported, false.into()),
        (I::FlightSqlServerTransactionTimeout, 0_i32.into()),
        // The format's text says int32; JDBC casts to Long, and a cast that fails fails the whole connection dialog.
        (
            I::SqlDefaultTransactionIsolation,
            Value::Long(SqlTransactionIsolationLevel::SqlTransactionNone as i64),
        ),
        (I::SqlTransactionsSupported, false.into()),
        (
            I::SqlSupportedTransactionsIsolationLevels,
            mask(&[SqlTransactionIsolationLevel::SqlTransactionNone as u32]),
        ),
        (I::SqlDataDefinitionCausesTransactionCommit, false.into()),
        (I::SqlDataDefinitionsInTransactionsIgnored, false.into()),
        (I::SqlSavepointsSupported, false.into()),
    ]
}

fn results() -> Vec<(SqlInfo, Value)> {
    use SqlInfo as I;
    let read_only = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as u32;
    vec![
        (
            I::SqlSupportedResultSetTypes,
            mask(&[SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as u32]),
        ),
        (I::SqlSupportedConcurrenciesForResultSetUnspecified, 0_i32.into()),
        (I::SqlSupportedConcurrenciesForResultSetForwardOnly, mask(&[read_only])),
        (I::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0_i32.into()),
        (I::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0_i32.into()),
        (I::SqlBatchUpdatesSupported, true.into()),
        (I::SqlNamedParametersSupported, false.into()),
        (I::SqlLocatorsUpdateCopy, false.into()),
        (I::SqlStoredFunctionsUsingCallSyntaxSupported, false.into()),
    ]
}

/// Bits at the given places.
fn mask(bits: &[u32]) -> Value {
    bits.iter()
        .fold(0_i32, |mask, bit| mask | 1_i32.wrapping_shl(*bit))
        .into()
}

fn names<const N: usize>(lists: [Vec<Arc<ScalarUDF>>; N]) -> Value {
    let named = lists
        .iter()
        .flatten()
        .flat_map(|function| std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned()));
    Value::Words(named.collect::<BTreeSet<_>>().into_iter().collect())
}

/// What CAST takes: numbers into numbers, everything plain to and from text, dates and times among each other.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as C;
    let texts = [C::SqlConvertChar, C::SqlConvertVarchar, C::SqlConvertLongvarchar];
    let numbers = [
        C::SqlConvertBit,
        C::SqlConvertTinyint,
        C::SqlConvertSmallint,
        C::SqlConvertInteger,
        C::SqlConvertBigint,
        C::SqlConvertReal,
        C::SqlConvertFloat,
        C::SqlConvertDecimal,
        C::SqlConvertNumeric,
    ];
    let times = [C::SqlConvertDate, C::SqlConvertTimestamp];
    let binaries = [C::SqlConvertBinary, C::SqlConvertVarbinary, C::SqlConvertLongvarbinary];
    let to = |groups: &[&[C]]| -> Vec<i32> {
        let all: BTreeSet<i32> = groups
            .iter()
            .flat_map(|group| group.iter())
            .map(|to| *to as i32)
            .collect();
        all.into_iter().collect()
    };
    let time: &[C] = &[C::SqlConvertTime];
    let mut map = BTreeMap::new();
    for from in texts {
        map.insert(from as i32, to(&[&texts, &numbers, &times, &binaries, time]));
    }
    for from in numbers {
        map.insert(from as i32, to(&[&texts, &numbers]));
    }
    for from in times {
        map.insert(from as i32, to(&[&texts, &times]));
    }
    map.insert(C::SqlConvertTime as i32, to(&[&texts, time]));
    for from in binaries {
        map.insert(from as i32, to(&[&texts, &binaries]));
    }
    map
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::UInt32Type;

    use super::*;

    fn codes(asked: Vec<u32>) -> Vec<u32> {
        let told = Told::new(&Limits::default()).unwrap();
        let batch = told.to(false).record_batch(asked).unwrap();
        batch.column(0).as_primitive::<UInt32Type>().values().to_vec()
    }

    #[test]
    fn every_code_of_the_format_is_answered_once() {
        let known: Vec<u32> = (0..10_000)
            .filter(|code| SqlInfo::try_from(*code).is_ok())
            .map(|code| code as u32)
            .collect();
        assert_eq!(known.len(), 91);
        assert_eq!(codes(Vec::new()), known);
        let limits = Limits::default();
        let counts = [false, true].map(|transactions| all(transactions, &limits).count());
        assert_eq!(counts, [known.len(); 2]);
    }

    #[test]
    fn asked_codes_are_answered_and_unknown_ones_are_left_out() {
        assert_eq!(codes(vec![0, 8, 9_999]), [0, 8]);
    }

    #[test]
    fn numbers_come_in_the_type_that_jdbc_casts_to() {
        let limits = Limits {
            statement_bytes: 77,
            ..Limits::default()
        };
        let of = |name: SqlInfo| all(false, &limits).find(|(known, _)| *known == name).unwrap().1;
        assert_eq!(of(SqlInfo::SqlDefaultTransactionIsolation), Value::Long(0));
        assert_eq!(of(SqlInfo::SqlMaxStatementLength), Value::Long(77));
        assert_eq!(of(SqlInfo::SqlOuterJoinsSupportLevel), Value::Number(0b110));
        assert_eq!(of(SqlInfo::SqlSupportedUnions), Value::Number(0b11));
        assert!(matches!(of(SqlInfo::SqlSupportsConvert), Value::Map(map) if map.len() > 10));
    }
}
