//! `GET /api/catalog`: FAIR metadata of what the caller may see, as JSON-LD in the words of DCAT 3, Dublin Core and CSVW.
//!
//! A table is a `dcat:Dataset` with its columns, units, keywords and sources; the doors are its `dcat:accessService`. It is
//! made of the caller's governed view: hidden tables, columns and sources are not there. Version and time of the last
//! change are told of tables that he sees whole and of no others, as in [`super::version`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use labhouse_catalog::LakeTable;
use labhouse_policies::Tags;
use serde_json::{Map, Value, json};

use super::Door;
use super::refusal::Refusal;
use super::signin::{self, Call};
use crate::query::lineage::Lineage;
use crate::query::tags::{OWNER, of_field};
use crate::session::{Governed, Shown};
use crate::system::SYSTEM;

/// The media type of JSON-LD.
const JSON_LD: &str = "application/ld+json";
/// Where a column's comment, unit and heading stand in its field.
const COMMENTS: [&str; 2] = ["comment", "labhouse.comment"];
const UNITS: [&str; 2] = ["unit", "labhouse.unit"];
const ORIGINAL: [&str; 1] = ["labhouse.original"];

pub(super) async fn catalog(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = signin::caller(&door, &headers, Some(peer), Call::Reading).await?;
    let governed = door.engine.govern(&caller.principal, door.engine.world());
    let mut shown = governed.shown();
    shown.retain(|one| one.schema != SYSTEM);
    let audit = &door.engine.audit;
    audit.metadata(&caller.principal.name, &caller.client, shown.len());
    let document = described(&governed, &shown).to_string();
    Ok(([(header::CONTENT_TYPE, JSON_LD)], document).into_response())
}

/// The whole document. Identifiers are URNs: they are the same whichever address the server is reached by.
fn described(governed: &Governed, shown: &[Shown]) -> Value {
    let visible: BTreeSet<String> = shown
        .iter()
        .map(|one| format!("{}.{}", one.schema, one.table))
        .collect();
    let datasets: Vec<Value> = shown.iter().map(|one| dataset(governed, one, &visible)).collect();
    json!({
        "@context": {
            "dcat": "http://www.w3.org/ns/dcat#",
            "dct": "http://purl.org/dc/terms/",
            "csvw": "http://www.w3.org/ns/csvw#",
            "prov": "http://www.w3.org/ns/prov#",
            "schema": "http://schema.org/",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
            "dct:modified": { "@type": "xsd:dateTime" },
            "dcat:version": { "@type": "xsd:string" },
        },
        "@id": "urn:labhouse:lab",
        "@type": "dcat:Catalog",
        "dct:title": "lab",
        "dcat:service": [
            service("flight-sql", "Arrow Flight SQL", "https://arrow.apache.org/docs/format/FlightSql.html"),
            service("http", "SQL over HTTP: POST /api/query", "/api/openapi.json"),
        ],
        "dcat:dataset": datasets,
    })
}

fn service(name: &str, title: &str, describes: &str) -> Value {
    json!({
        "@id": format!("urn:labhouse:lab:service:{name}"),
        "@type": "dcat:DataService",
        "dct:title": title,
        "dcat:endpointDescription": { "@id": describes },
    })
}

fn dataset(governed: &Governed, shown: &Shown, visible: &BTreeSet<String>) -> Value {
    let name = format!("{}.{}", shown.schema, shown.table);
    let table = governed.world().catalog.table(&shown.schema, &shown.table);
    let object = governed.object(&shown.schema, &shown.table);
    let mut told = Map::new();
    let mut tell = |key: &str, value: Value| told.insert(key.to_owned(), value);
    tell("@id", json!(iri(&name)));
    tell("@type", json!("dcat:Dataset"));
    tell("dct:identifier", json!(format!("lab.{name}")));
    tell("dct:title", json!(shown.table));
    tell("dct:isPartOf", json!({ "@id": "urn:labhouse:lab" }));
    tell("dct:accessRights", json!("by the policies of the lab"));
    if let Some(text) = table.and_then(|table| table.description()) {
        tell("dct:description", json!(text));
    }
    if let Some(object) = &object {
        tell(
            "dct:publisher",
            json!({ "@type": "schema:Organization", "schema:name": object.department }),
        );
        if let Some(owner) = object.tags.get(OWNER) {
            let person = json!({ "@type": "schema:Person", "schema:name": owner });
            tell("dcat:contactPoint", person);
        }
        let keywords = keywords(&object.tags);
        if !keywords.is_empty() {
            tell("dcat:keyword", json!(keywords));
        }
    }
    if let Some(table) = table.filter(|_| shown.access.is_unrestricted() && !shown.is_library) {
        tell("dcat:version", json!(table.version().to_string()));
        if let Some(at) = table.modified() {
            tell("dct:modified", json!(at.to_rfc3339()));
        }
    }
    let sources = table.map(|table| sources(table, shown, visible)).unwrap_or_default();
    if !sources.is_empty() {
        tell("prov:wasDerivedFrom", json!(sources));
    }
    // Tags are not in the schema that a reader sees; of a column that he sees they are his to know.
    let raw = &shown.access.schema;
    let columns: Vec<Value> = shown
        .provider
        .schema()
        .fields()
        .iter()
        .map(|field| {
            column(
                field,
                &raw.field_with_name(field.name()).map(of_field).unwrap_or_default(),
            )
        })
        .collect();
    tell(
        "csvw:tableSchema",
        json!({ "@type": "csvw:Schema", "csvw:column": columns }),
    );
    tell(
        "dcat:distribution",
        json!(["flight-sql", "http"].map(|door| json!({
            "@type": "dcat:Distribution",
            "dcat:accessService": { "@id": format!("urn:labhouse:lab:service:{door}") },
            "dcat:mediaType": "application/vnd.apache.arrow.stream",
        }))),
    );
    Value::Object(told)
}

fn iri(name: &str) -> String {
    format!("urn:labhouse:lab:{name}")
}

/// The tables that its rows were made of, as far as the caller sees them.
///
/// Of a table that he sees in part, those that the columns which he sees were made of.
fn sources(table: &LakeTable, shown: &Shown, visible: &BTreeSet<String>) -> Vec<Value> {
    let lineage = Lineage::of(table).unwrap_or_default();
    let is_whole = shown.access.is_unrestricted();
    let schema = shown.provider.schema();
    let of_columns: BTreeSet<&str> = lineage
        .columns
        .iter()
        .filter(|(column, _)| schema.field_with_name(column).is_ok())
        .flat_map(|(_, origins)| origins.iter().filter_map(|origin| Some(origin.rsplit_once('.')?.0)))
        .collect();
    let all = lineage.sources.keys().chain(lineage.added.sources.keys());
    let told = all.filter(|source| is_whole || of_columns.contains(source.as_str()));
    let seen: BTreeSet<&String> = told.filter(|source| visible.contains(*source)).collect();
    seen.into_iter().map(|source| json!({ "@id": iri(source) })).collect()
}

fn column(field: &Field, tags: &Tags) -> Value {
    let said = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| field.metadata().get(*key));
        found.filter(|text| !text.is_empty()).cloned()
    };
    let mut told = Map::new();
    told.insert("csvw:name".to_owned(), json!(field.name()));
    told.insert("csvw:datatype".to_owned(), json!(datatype(field.data_type())));
    for (key, value) in [
        ("csvw:titles", said(&ORIGINAL)),
        ("dct:description", said(&COMMENTS)),
        ("schema:unitText", said(&UNITS)),
    ] {
        if let Some(value) = value {
            told.insert(key.to_owned(), json!(value));
        }
    }
    let keywords = keywords(tags);
    if !keywords.is_empty() {
        told.insert("dcat:keyword".to_owned(), json!(keywords));
    }
    Value::Object(told)
}

/// `key=value`; a key alone where its value is `true`.
fn keywords(tags: &Tags) -> Vec<String> {
    let each = tags.iter().flat_map(|(key, value)| {
        let values = value.split('|').filter(|value| !value.is_empty());
        values.map(move |value| match value {
            "true" => key.clone(),
            value => format!("{key}={value}"),
        })
    });
    each.collect()
}

/// The nearest type of XML Schema, as CSVW calls it.
fn datatype(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => "int",
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "long",
        DataType::Float16 | DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "decimal"
        }
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, None) => "dateTime",
        DataType::Timestamp(_, Some(_)) => "dateTimeStamp",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "base64Binary"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Dictionary(_, value) => datatype(value),
        // Structs, lists and maps come as JSON where a door has no other word for them.
        _ => "json",
    }
}
