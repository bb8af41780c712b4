//! The same for statements that change tables: all that the parser takes of them is either run or refused.

use datafusion::sql::sqlparser::ast::{
    CreateTable, CreateTableOptions, Delete, HiveDistributionStyle, HiveFormat, Insert, Merge, MergeAction, ObjectName,
    Update,
};

use super::super::QueryError;
use super::super::statement::plain;
use super::{LEAVE_OUT, first};

const SETTINGS: &str = "settings are the administrator's: leave it out";
const PLACE: &str = "the lake decides where and how a table is kept: leave it out";
const ORDER: &str = "leave it out; OPTIMIZE … ZORDER BY (…) arranges a table";
const AS_SELECT: &str = "write CREATE TABLE … AS SELECT … FROM …";

/// # Errors
/// It has a clause that would be ignored.
pub(crate) fn insert(insert: &Insert) -> Result<(), QueryError> {
    let Insert {
        insert_token: _,
        optimizer_hints: _,
        or,
        ignore,
        into: _,
        table: _,
        // Nothing of an INSERT that is run names it.
        table_alias: _,
        columns,
        overwrite,
        source: _,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword: _,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let only_appends = "INSERT only appends: write MERGE INTO … USING … ON … WHEN MATCHED … WHEN NOT MATCHED …";
    first(&[
        (
            or.is_some() || *replace_into || *ignore || on.is_some() || *overwrite,
            "INSERT with OVERWRITE, REPLACE, IGNORE or ON CONFLICT",
            only_appends,
        ),
        (
            returning.is_some() || output.is_some(),
            "RETURNING or OUTPUT",
            "read the rows with a SELECT of their own",
        ),
        (
            !assignments.is_empty(),
            "INSERT … SET",
            "write INSERT INTO t (a, b) VALUES (…)",
        ),
        (
            partitioned.is_some() || !after_columns.is_empty(),
            "PARTITION (…) of an INSERT",
            "write the columns and their values as all others",
        ),
        (priority.is_some(), "LOW_PRIORITY, HIGH_PRIORITY or DELAYED", LEAVE_OUT),
        (insert_alias.is_some(), "a name for the rows of an INSERT", LEAVE_OUT),
        (settings.is_some(), "SETTINGS", SETTINGS),
        (
            format_clause.is_some(),
            "FORMAT of an INSERT",
            "write VALUES (…), or drop a file into landing/<schema>/<table>/",
        ),
        (
            multi_table_insert_type.is_some()
                || !multi_table_into_clauses.is_empty()
                || !multi_table_when_clauses.is_empty()
                || multi_table_else_clause.is_some(),
            "INSERT into several tables",
            "write one INSERT for each",
        ),
    ])?;
    once(columns)
}

/// Each column that is filled is named once, and by its name alone.
fn once(columns: &[ObjectName]) -> Result<(), QueryError> {
    let mut seen: Vec<String> = Vec::with_capacity(columns.len());
    for name in columns {
        let column = match name.0.as_slice() {
            [only] => only.as_ident().map(plain),
            _ => None,
        };
        let Some(column) = column else {
            return Err(QueryError::Invalid(format!(
                "`{name}` in the list of an INSERT is not a column's name: name the columns of the table, without the table"
            )));
        };
        if seen.contains(&column) {
            return Err(QueryError::Invalid(format!("{column} is filled twice")));
        }
        seen.push(column);
    }
    Ok(())
}

/// # Errors
/// It has a clause that would be ignored.
pub(crate) fn create_table(table: &CreateTable) -> Result<(), QueryError> {
    let CreateTable {
        or_replace: _,
        // Refused where they are looked at: only plain tables can be made.
        temporary: _,
        external: _,
        location,
        dynamic,
        global,
        if_not_exists: _,
        transient,
        volatile,
        iceberg,
        snapshot,
        name: _,
        columns,
        constraints,
        hive_distribution,
        hive_formats,
        table_options,
        file_format,
        query,
        without_rowid,
        like,
        clone,
        version,
        comment,
        on_commit,
        on_cluster,
        primary_key,
        order_by,
        partition_by,
        cluster_by,
        clustered_by,
        inherits,
        partition_of,
        for_values,
        strict,
        copy_grants,
        enable_schema_evolution,
        change_tracking,
        data_retention_time_in_days,
        max_data_extension_time_in_days,
        default_ddl_collation,
        with_aggregation_policy,
        with_row_access_policy,
        with_storage_lifecycle_policy,
        with_tags,
        external_volume,
        base_location,
        catalog,
        catalog_sync,
        storage_serialization_policy,
        target_lag,
        warehouse,
        refresh_mode,
        initialize,
        require_user,
        diststyle,
        distkey,
        sortkey,
        backup,
    } = table;
    let has_format = hive_formats.as_ref().is_some_and(|format| {
        let HiveFormat {
            row_format,
            serde_properties,
            storage,
            location,
        } = format;
        row_format.is_some() || serde_properties.is_some() || storage.is_some() || location.is_some()
    });
    first(&[
        (
            query.is_some() && !columns.is_empty(),
            "CREATE TABLE (columns) AS SELECT",
            "name and cast the columns in the SELECT",
        ),
        (
            query.is_some() && !constraints.is_empty(),
            "a constraint of a table",
            LEAVE_OUT,
        ),
        (
            has_format
                || file_format.is_some()
                || location.is_some()
                || base_location.is_some()
                || external_volume.is_some(),
            "STORED AS, USING, ROW FORMAT or LOCATION",
            PLACE,
        ),
        (
            !is_empty(table_options),
            "WITH (…), OPTIONS (…), ENGINE or another option of a table",
            PLACE,
        ),
        (
            comment.is_some(),
            "COMMENT of a CREATE TABLE",
            "write COMMENT ON TABLE … IS '…'",
        ),
        (
            with_tags.is_some(),
            "TAG of a CREATE TABLE",
            "write ALTER TABLE … SET TAGS (key = 'value')",
        ),
        (
            !matches!(hive_distribution, HiveDistributionStyle::NONE)
                || partition_by.is_some()
                || cluster_by.is_some()
                || clustered_by.is_some()
                || order_by.is_some()
                || diststyle.is_some()
                || distkey.is_some()
                || sortkey.is_some(),
            "PARTITION BY, PARTITIONED BY, CLUSTER BY, ORDER BY or another order of a table",
            ORDER,
        ),
        (primary_key.is_some(), "PRIMARY KEY of a table", LEAVE_OUT),
        (
            inherits.is_some()
                || partition_of.is_some()
                || for_values.is_some()
                || like.is_some()
                || clone.is_some()
                || version.is_some(),
            "INHERITS, PARTITION OF, LIKE or CLONE",
            AS_SELECT,
        ),
        (
            on_commit.is_some(),
            "ON COMMIT",
            "tables stay until they are dropped: leave it out",
        ),
        (
            with_aggregation_policy.is_some()
                || with_row_access_policy.is_some()
                || with_storage_lifecycle_policy.is_some(),
            "a policy of a table",
            "what who sees stands in the policy files: leave it out",
        ),
        (
            global.is_some() || *dynamic || *transient || *volatile || *iceberg || *snapshot,
            "a kind of table",
            "write CREATE TABLE …",
        ),
        (
            *without_rowid
                || on_cluster.is_some()
                || *strict
                || *copy_grants
                || enable_schema_evolution.is_some()
                || change_tracking.is_some()
                || data_retention_time_in_days.is_some()
                || max_data_extension_time_in_days.is_some()
                || default_ddl_collation.is_some()
                || catalog.is_some()
                || catalog_sync.is_some()
                || storage_serialization_policy.is_some()
                || target_lag.is_some()
                || warehouse.is_some()
                || refresh_mode.is_some()
                || initialize.is_some()
                || *require_user
                || backup.is_some(),
            "an option of another server's tables",
            LEAVE_OUT,
        ),
    ])
}

fn is_empty(options: &CreateTableOptions) -> bool {
    match options {
        CreateTableOptions::None => true,
        CreateTableOptions::With(options)
        | CreateTableOptions::Options(options)
        | CreateTableOptions::Plain(options)
        | CreateTableOptions::TableProperties(options) => options.is_empty(),
    }
}

/// What is run of an UPDATE, a DELETE and a MERGE, or refused where they are read: all of it.
pub(crate) fn update(update: &Update) {
    let Update {
        update_token: _,
        optimizer_hints: _,
        table: _,
        assignments: _,
        from: _,
        selection: _,
        returning: _,
        output: _,
        or: _,
        order_by: _,
        limit: _,
    } = update;
}

pub(crate) fn delete(delete: &Delete) {
    let Delete {
        delete_token: _,
        optimizer_hints: _,
        tables: _,
        from: _,
        using: _,
        selection: _,
        returning: _,
        output: _,
        order_by: _,
        limit: _,
    } = delete;
}

/// # Errors
/// A clause names a column twice.
pub(crate) fn merge(merge: &Merge) -> Result<(), QueryError> {
    let Merge {
        merge_token: _,
        optimizer_hints: _,
        into: _,
        table: _,
        source: _,
        on: _,
        clauses,
        output: _,
    } = merge;
    clauses.iter().try_for_each(|clause| match &clause.action {
        MergeAction::Insert(insert) => {
            let columns: Vec<ObjectName> = insert
                .columns
                .iter()
                .filter_map(|name| name.0.last().cloned().map(|last| ObjectName(vec![last])))
                .collect();
            once(&columns)
        }
        MergeAction::Update(_) | MergeAction::Delete { .. } => Ok(()),
    })
}
