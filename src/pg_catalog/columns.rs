//! The columns of `pg_catalog`, as PostgreSQL 16 has them and tools read them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// Tables with rows: what there is, as the one who asks may see it.
const FILLED: [(&str, &str); 13] = [
    ("pg_am", "oid:i amname:t amhandler:i amtype:t"),
    (
        "pg_attribute",
        "attrelid:i attname:t atttypid:i attlen:s attnum:s attcacheoff:i atttypmod:i attndims:s attbyval:b attalign:t \
         attstorage:t attcompression:t attnotnull:b atthasdef:b atthasmissing:b attidentity:t attgenerated:t \
         attisdropped:b attislocal:b attinhcount:s attstattarget:s attcollation:i attacl:T attoptions:T attfdwoptions:T",
    ),
    (
        "pg_class",
        "oid:i relname:t relnamespace:i reltype:i reloftype:i relowner:i relam:i relfilenode:i reltablespace:i \
         relpages:i reltuples:f relallvisible:i reltoastrelid:i relhasindex:b relisshared:b relpersistence:t relkind:t \
         relnatts:s relchecks:s relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b \
         relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relrewrite:i relfrozenxid:i \
         relminmxid:i relacl:T reloptions:T relpartbound:t",
    ),
    (
        "pg_database",
        "oid:i datname:t datdba:i encoding:i datlocprovider:t datistemplate:b datallowconn:b datconnlimit:i \
         datfrozenxid:i datminmxid:i dattablespace:i datcollate:t datctype:t daticulocale:t daticurules:t \
         datcollversion:t datacl:T",
    ),
    ("pg_description", "objoid:i classoid:i objsubid:i description:t"),
    ("pg_namespace", "oid:i nspname:t nspowner:i nspacl:T"),
    (
        "pg_roles",
        "oid:i rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b \
         rolconnlimit:i rolpassword:t rolvaliduntil:t rolbypassrls:b rolconfig:T",
    ),
    (
        "pg_settings",
        "name:t setting:t unit:t category:t short_desc:t extra_desc:t context:t vartype:t source:t min_val:t \
         max_val:t enumvals:T boot_val:t reset_val:t sourcefile:t sourceline:i pending_restart:b",
    ),
    (
        "pg_tables",
        "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b hasrules:b hastriggers:b rowsecurity:b",
    ),
    ("pg_tablespace", "oid:i spcname:t spcowner:i spcacl:T spcoptions:T"),
    (
        "pg_type",
        "oid:i typname:t typnamespace:i typowner:i typlen:s typbyval:b typtype:t typcategory:t typispreferred:b \
         typisdefined:b typdelim:t typrelid:i typsubscript:t typelem:i typarray:i typinput:t typoutput:t typreceive:t \
         typsend:t typmodin:t typmodout:t typanalyze:t typalign:t typstorage:t typnotnull:b typbasetype:i typtypmod:i \
         typndims:i typcollation:i typdefaultbin:t typdefault:t typacl:T",
    ),
    (
        "pg_user",
        "usename:t usesysid:i usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:t useconfig:T",
    ),
    ("pg_views", "schemaname:t viewname:t viewowner:t definition:t"),
];

/// Tables without rows: a lake has no such things, and tools ask for them all the same.
const EMPTY: [(&str, &str); 29] = [
    ("pg_attrdef", "oid:i adrelid:i adnum:s adbin:t"),
    ("pg_auth_members", "oid:i roleid:i member:i grantor:i admin_option:b"),
    (
        "pg_cast",
        "oid:i castsource:i casttarget:i castfunc:i castcontext:t castmethod:t",
    ),
    (
        "pg_collation",
        "oid:i collname:t collnamespace:i collowner:i collprovider:t collisdeterministic:b collencoding:i collcollate:t \
         collctype:t colliculocale:t",
    ),
    (
        "pg_constraint",
        "oid:i conname:t connamespace:i contype:t condeferrable:b condeferred:b convalidated:b conrelid:i contypid:i \
         conindid:i conparentid:i confrelid:i confupdtype:t confdeltype:t confmatchtype:t conislocal:b coninhcount:i \
         connoinherit:b conkey:S confkey:S conbin:t",
    ),
    (
        "pg_depend",
        "classid:i objid:i objsubid:i refclassid:i refobjid:i refobjsubid:i deptype:t",
    ),
    ("pg_enum", "oid:i enumtypid:i enumsortorder:f enumlabel:t"),
    (
        "pg_event_trigger",
        "oid:i evtname:t evtevent:t evtowner:i evtfoid:i evtenabled:t evttags:t",
    ),
    (
        "pg_extension",
        "oid:i extname:t extowner:i extnamespace:i extrelocatable:b extversion:t extconfig:t extcondition:t",
    ),
    (
        "pg_foreign_data_wrapper",
        "oid:i fdwname:t fdwowner:i fdwhandler:i fdwvalidator:i fdwoptions:T",
    ),
    (
        "pg_foreign_server",
        "oid:i srvname:t srvowner:i srvfdw:i srvtype:t srvversion:t srvoptions:T",
    ),
    ("pg_foreign_table", "ftrelid:i ftserver:i ftoptions:T"),
    (
        "pg_index",
        "indexrelid:i indrelid:i indnatts:s indnkeyatts:s indisunique:b indnullsnotdistinct:b indisprimary:b \
         indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b \
         indisreplident:b indkey:S indcollation:S indclass:S indoption:S indexprs:t indpred:t",
    ),
    (
        "pg_indexes",
        "schemaname:t tablename:t indexname:t tablespace:t indexdef:t",
    ),
    ("pg_inherits", "inhrelid:i inhparent:i inhseqno:i inhdetachpending:b"),
    ("pg_language", "oid:i lanname:t lanowner:i lanispl:b lanpltrusted:b"),
    (
        "pg_matviews",
        "schemaname:t matviewname:t matviewowner:t tablespace:t hasindexes:b ispopulated:b definition:t",
    ),
    (
        "pg_opclass",
        "oid:i opcmethod:i opcname:t opcnamespace:i opcowner:i opcintype:i opcdefault:b",
    ),
    (
        "pg_operator",
        "oid:i oprname:t oprnamespace:i oprleft:i oprright:i oprresult:i",
    ),
    (
        "pg_partitioned_table",
        "partrelid:i partstrat:t partnatts:s partdefid:i partattrs:S",
    ),
    (
        "pg_policy",
        "oid:i polname:t polrelid:i polcmd:t polpermissive:b polroles:S polqual:t polwithcheck:t",
    ),
    (
        "pg_proc",
        "oid:i proname:t pronamespace:i proowner:i prolang:i prokind:t prorettype:i proretset:b provolatile:t \
         pronargs:s proargtypes:S proallargtypes:S proargmodes:t proargnames:t prosrc:t",
    ),
    ("pg_publication", "oid:i pubname:t pubowner:i puballtables:b"),
    ("pg_range", "rngtypid:i rngsubtype:i rngmultitypid:i"),
    (
        "pg_rewrite",
        "oid:i rulename:t ev_class:i ev_type:t ev_enabled:t is_instead:b",
    ),
    (
        "pg_sequence",
        "seqrelid:i seqtypid:i seqstart:I seqincrement:I seqmax:I seqmin:I seqcache:I seqcycle:b",
    ),
    ("pg_shdescription", "objoid:i classoid:i description:t"),
    (
        "pg_stat_activity",
        "datid:i datname:t pid:i usename:t application_name:t state:t query:t",
    ),
    (
        "pg_trigger",
        "oid:i tgrelid:i tgname:t tgfoid:i tgtype:s tgenabled:t tgisinternal:b tgconstraint:i",
    ),
];

/// Tables without rows that are read only where the answer is known to have none: they need no columns.
const ABSENT: [&str; 26] = [
    "pg_aggregate",
    "pg_amop",
    "pg_amproc",
    "pg_conversion",
    "pg_cursors",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_largeobject_metadata",
    "pg_locks",
    "pg_opfamily",
    "pg_parameter_acl",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_replication_slots",
    "pg_seclabel",
    "pg_shdepend",
    "pg_shseclabel",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_user_mapping",
];

/// Names of the tables that can be read.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILLED.into_iter().chain(EMPTY).map(|(name, _)| name)
}

/// Whether a table of that name never has a row.
pub(crate) fn is_always_empty(name: &str) -> bool {
    EMPTY.iter().any(|(known, _)| *known == name) || ABSENT.contains(&name)
}

/// Whether `pg_catalog` has, or is known to have, a table of that name.
pub(crate) fn is_table(name: &str) -> bool {
    names().any(|known| known == name) || ABSENT.contains(&name)
}

/// The columns of a table.
pub(super) fn of(name: &str) -> Option<SchemaRef> {
    let (_, columns) = FILLED.into_iter().chain(EMPTY).find(|(known, _)| *known == name)?;
    let fields = columns.split_whitespace().filter_map(|column| {
        let (name, kind) = column.split_once(':')?;
        let data_type = match kind {
            "b" => DataType::Boolean,
            "f" => DataType::Float32,
            "i" => DataType::Int32,
            "I" => DataType::Int64,
            "s" => DataType::Int16,
            "S" => DataType::new_list(DataType::Int16, true),
            "T" => DataType::new_list(DataType::Utf8, true),
            _ => DataType::Utf8,
        };
        Some(Field::new(name, data_type, true))
    });
    Some(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_the_columns_that_are_written_here() {
        for (name, columns) in FILLED.into_iter().chain(EMPTY) {
            let words = columns.split_whitespace();
            assert!(
                words
                    .clone()
                    .all(|word| word.split_once(':').is_some_and(|(_, kind)| "bfiIsStT".contains(kind))),
                "{name}"
            );
            assert_eq!(of(name).unwrap().fields().len(), words.count(), "{name}");
        }
        assert!(is_always_empty("pg_policy") && is_always_empty("pg_statistic_ext") && !is_always_empty("pg_class"));
        assert!(of("pg_authid").is_none(), "passwords are nowhere");
    }
}
