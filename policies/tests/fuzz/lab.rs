//! A lab under test: two worlds that differ only in what is hidden, and the copy that an administrator filtered and masked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlanBuilder, Volatility, create_udf};
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use labhouse_policies::{
    Access, Action, Attribute, PolicyFiles, PolicySet, Principal, TableAccess, TableObject, govern, learn,
};

use super::condition::{PROJECTS, SITE};
use super::counted::Counted;
use super::grammar::{Literals, Seen};
use super::keep::{Keeper, Keepers, Store, pieces};
use super::mask::SECRET;
use super::mended;
use super::order;
use super::policy::{Policy, USER};
use super::rng::Rng;
use super::table::{Row, Table};
use super::value::{Kind, TextAs, Value, array};

const MODEL: &str = include_str!("../../default/model.conf");

/// Everything is shown, through a filter that keeps all: the barrier stands, and nothing is behind it.
const COPY_POLICY: &str = "g, user:ana, role:all, *\np, role:all, *, lab/**, use|select, allow\np, role:all, *, lab, use, allow\np2, role:all, *, lab/copy/*, restrictive, every_row\n";
const COPY_FILTER: &str = "[filter.every_row]\ntable = \"lab/copy/*\"\nsql = \"true\"\n";

/// What stands between the person and the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wall {
    /// The barrier.
    Barrier,
    /// The same filter, columns and masks as a plain view: what the fuzzer must be able to see through.
    View,
}

/// One side of a comparison: a session, and what its recording functions heard.
pub(crate) struct Side {
    pub context: SessionContext,
    heard: Arc<Mutex<Vec<String>>>,
    _keeper: Option<Box<dyn Keeper>>,
}

pub(crate) struct Lab {
    pub first: Side,
    pub second: Side,
    pub copy: Side,
    pub seen: Vec<Seen>,
    pub literals: Literals,
    /// Whether no value that may be seen holds the mark, so that nothing told may hold it.
    pub marked: bool,
    /// How it came about, for a report.
    pub story: String,
    shown: Vec<(String, SchemaRef, RecordBatch)>,
    batch_size: usize,
}

impl Lab {
    /// The lab of a seed; `None` when the person sees no table of it.
    pub(crate) async fn new(seed: u64, store: Store, wall: Wall, keepers: &Keepers<'_>) -> Option<Lab> {
        let mut rng = Rng::new(seed);
        let tables: Vec<Table> = (0..1 + rng.below(3))
            .map(|at| Table::random(&mut rng, at, store == Store::Delta))
            .collect();
        let policy = Policy::random(&mut rng, &tables);
        let batch_size = *rng.pick(&[3, 16, 8_192]);
        let below = SessionConfig::new()
            .with_target_partitions(2)
            .with_batch_size(*rng.pick(&[5, 8_192]));
        let sets: Vec<PolicySet> = ["one", "other"]
            .into_iter()
            // What is remembered of a table is keyed by the policy's text: each world has its own.
            .map(|note| load(&policy, &tables, &format!("{note} {seed} {store:?} {wall:?}")))
            .collect();
        let keeper = [keepers(store, below.clone()), keepers(store, below)];
        let contexts = [&keeper[0], &keeper[1]].map(|keeper| person(batch_size, keeper.session()));
        let (copy, copy_heard) = person(batch_size, keeper[0].session());
        let (mut seen, mut shown, mut story) = (Vec::new(), Vec::new(), String::new());
        let mut marked = true;
        for table in &tables {
            let columns = policy.columns(table);
            if columns.is_empty() {
                for (set, keeper) in sets.iter().zip(&keeper) {
                    let raw = batch(table, &[], &arrow_schema(table));
                    let object = object(table, raw.schema());
                    let found = set.table(&principal(&policy), &object, &keeper.session().state(), Action::Select);
                    assert!(
                        matches!(found, TableAccess::Hidden(_)),
                        "{}: open, and should not be: {found:?}\n{}",
                        table.name,
                        policy.csv(&tables, "")
                    );
                }
                continue;
            }
            let rows = table.rows(&mut rng, &policy);
            let other = table.with_other_secrets(&mut rng, &policy, &rows);
            let visible: Vec<Row> = rows.iter().filter_map(|row| policy.shown(table, row)).collect();
            let again: Vec<Row> = other.iter().filter_map(|row| policy.shown(table, row)).collect();
            assert_eq!(
                format!("{visible:?}"),
                format!("{again:?}"),
                "the two worlds look the same"
            );
            marked &= !visible.iter().flatten().any(Value::holds_mark);
            let mut public: Option<SchemaRef> = None;
            // Where every row is shown, hidden values have no say in how rows lie; elsewhere hidden rows move the others.
            let every_row = visible.len() == rows.len() && visible.len() == other.len();
            let layout = rng.fork();
            for (at, rows) in [&rows, &other].into_iter().enumerate() {
                let rows = batch(table, rows, &arrow_schema(table));
                let layout = if every_row { layout.clone() } else { rng.fork() };
                let raw = keeper[at].keep(table, rows.clone(), layout).await;
                let raw = Counted::of(raw, &rows);
                let system = Arc::new(keeper[at].session().state());
                let access = match sets[at].table(
                    &principal(&policy),
                    &object(table, raw.schema()),
                    &system,
                    Action::Select,
                ) {
                    TableAccess::Open(access) => access,
                    TableAccess::Hidden(why) => {
                        panic!(
                            "{} should be open: {why:?}\n{}\n{}",
                            table.name,
                            policy.csv(&tables, ""),
                            policy.toml(&tables)
                        )
                    }
                };
                let provider: Arc<dyn TableProvider> = match wall {
                    Wall::Barrier => govern(Arc::clone(&raw), &access, system).unwrap(),
                    Wall::View => view(&raw, &access),
                };
                let wanted = public_schema(&raw.schema(), &columns, &policy, table);
                if wall == Wall::Barrier {
                    assert_eq!(
                        provider.schema(),
                        wanted,
                        "the columns of {} as they are shown",
                        table.name
                    );
                }
                public = Some(wanted);
                contexts[at].0.register_table(&table.name, provider).unwrap();
            }
            let schema = public.unwrap();
            let kinds: Vec<Kind> = columns.iter().map(|at| hydrated(&table.columns[*at].kind)).collect();
            let shown_rows = public_batch(&kinds, &visible, &schema);
            let parts = vec![pieces(&shown_rows, &mut rng, 2)];
            copy.register_table(
                &table.name,
                Arc::new(MemTable::try_new(Arc::clone(&schema), parts).unwrap()),
            )
            .unwrap();
            seen.push(Seen {
                name: table.name.clone(),
                keyed: columns[0] == 0 && policy.masked(table).iter().all(|(column, _)| *column != 0),
                columns: columns
                    .iter()
                    .map(|at| table.columns[*at].name.clone())
                    .zip(kinds)
                    .collect(),
            });
            story.push_str(&format!(
                "{}: {} rows, {} shown, {} in the other world; {:?}\n",
                table.name,
                rows.len(),
                visible.len(),
                other.len(),
                table.columns.iter().map(|c| (&c.name, &c.kind)).collect::<Vec<_>>()
            ));
            shown.push((table.name.clone(), schema, shown_rows));
        }
        if seen.is_empty() {
            return None;
        }
        story.push_str(&format!("{}\n{}", policy.csv(&tables, ""), policy.toml(&tables)));
        let literals = Literals::new(&mut rng);
        let [first, second] = contexts;
        let [a, b] = keeper;
        let side = |(context, heard), keeper| Side {
            context,
            heard,
            _keeper: keeper,
        };
        Some(Lab {
            first: side(first, Some(a)),
            second: side(second, Some(b)),
            copy: side((copy, copy_heard), None),
            seen,
            literals,
            marked,
            story,
            shown,
            batch_size,
        })
    }

    /// Reads every table to its end.
    pub(crate) async fn read_all(&self, side: &Side) {
        for (name, ..) in &self.shown {
            let table = side.context.table(name).await.unwrap();
            let plan = table.create_physical_plan().await.unwrap();
            collect(Arc::clone(&plan), side.context.task_ctx()).await.unwrap();
            learn(&plan);
        }
    }

    /// The copy once more, cut into other batches and behind a barrier of its own: there is nothing hidden below, but
    /// batches, partitions and plans are as a governed reader has them. Tells whether an error comes from those alone.
    pub(crate) fn cut_anew(&self, seed: u64) -> Side {
        let mut rng = Rng::new(seed);
        let config = SessionConfig::new()
            .with_target_partitions(2)
            .with_batch_size(*rng.pick(&[1, 2, 3, 5, 8_192]));
        let below = SessionContext::new_with_config(config);
        let (context, heard) = person(self.batch_size, &below);
        let system = Arc::new(below.state());
        let set = PolicySet::from_files(
            &PolicyFiles {
                model: MODEL.to_owned(),
                policy: format!("# {seed} {:p}\n{COPY_POLICY}", self),
                filters: COPY_FILTER.to_owned(),
                secret: None,
            },
            1,
        )
        .unwrap();
        for (name, schema, rows) in &self.shown {
            let mut partitions = vec![Vec::new(); 1 + rng.below(2)];
            // In which order rows come is open, too.
            let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).collect();
            if seed % 4 > 1 {
                for at in (1..order.len()).rev() {
                    order.swap(at, rng.below(at + 1));
                }
            }
            let rows = take_record_batch(rows, &UInt32Array::from(order)).unwrap();
            for piece in pieces(&rows, &mut rng, 8) {
                let at = rng.below(partitions.len());
                partitions[at].push(piece);
            }
            let raw: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(Arc::clone(schema), partitions).unwrap());
            let object = TableObject {
                reference: reference("copy", name),
                department: "copy".to_owned(),
                tags: BTreeMap::new(),
                column_tags: BTreeMap::new(),
                schema: Arc::clone(schema),
            };
            let TableAccess::Open(access) = set.table(&Principal::new(USER), &object, &system, Action::Select) else {
                panic!("the copy is open");
            };
            // A table that is seen whole has its statistics, also beside one that has none: joins are ordered by that.
            let provider = match seed % 8 > 3 && rng.below(2) == 0 {
                true => raw,
                false => govern(raw, &access, Arc::clone(&system)).unwrap(),
            };
            context.register_table(name, provider).unwrap();
        }
        Side {
            context,
            heard,
            _keeper: None,
        }
    }
}

impl Side {
    /// What the recording functions heard since they were last asked.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

fn load(policy: &Policy, tables: &[Table], note: &str) -> PolicySet {
    let files = PolicyFiles {
        model: MODEL.to_owned(),
        policy: policy.csv(tables, note),
        filters: policy.toml(tables),
        secret: Some(SECRET.to_owned()),
    };
    PolicySet::from_files(&files, 1).unwrap_or_else(|e| panic!("{e}\n{}\n{}", files.policy, files.filters))
}

fn principal(policy: &Policy) -> Principal {
    let mut who = Principal::new(USER);
    who.attributes
        .insert(SITE.to_owned(), Attribute::Text(policy.who.site.clone()));
    who.attributes
        .insert(PROJECTS.to_owned(), Attribute::List(policy.who.projects.clone()));
    who
}

fn object(table: &Table, schema: SchemaRef) -> TableObject {
    TableObject {
        reference: reference(&table.schema, &table.name),
        department: table.schema.clone(),
        tags: table.tags.clone(),
        column_tags: table
            .columns
            .iter()
            .filter(|c| !c.tags.is_empty())
            .map(|c| (c.name.clone(), c.tags.clone()))
            .collect(),
        schema,
    }
}

fn reference(schema: &str, table: &str) -> ResolvedTableReference {
    ResolvedTableReference {
        catalog: "lab".into(),
        schema: schema.into(),
        table: table.into(),
    }
}

fn arrow_schema(table: &Table) -> SchemaRef {
    let field = |c: &super::table::Column| Field::new(&c.name, c.kind.arrow(), true);
    Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch(table: &Table, rows: &[Row], schema: &SchemaRef) -> RecordBatch {
    let column = |at: usize| {
        array(
            &table.columns[at].kind,
            &rows.iter().map(|row| &row[at]).collect::<Vec<_>>(),
        )
    };
    let columns = (0..table.columns.len()).map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn public_batch(kinds: &[Kind], rows: &[Row], schema: &SchemaRef) -> RecordBatch {
    let columns = kinds.iter().enumerate().map(|(at, kind)| {
        let values: Vec<&Value> = rows.iter().map(|row| &row[at]).collect();
        arrow::compute::cast(&array(kind, &values), schema.field(at).data_type()).unwrap()
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
}

fn hydrated(kind: &Kind) -> Kind {
    match kind {
        Kind::Text(TextAs::Dictionary) => Kind::Text(TextAs::Plain),
        other => other.clone(),
    }
}

fn public_schema(raw: &Schema, columns: &[usize], policy: &Policy, table: &Table) -> SchemaRef {
    let masked: Vec<usize> = policy.masked(table).iter().map(|(column, _)| *column).collect();
    let field = |at: &usize| {
        let field = raw.field(*at);
        let data_type = match field.data_type() {
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        Field::new(field.name(), data_type, field.is_nullable() || masked.contains(at))
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// What a view would make of the same access.
fn view(raw: &Arc<dyn TableProvider>, access: &Access) -> Arc<dyn TableProvider> {
    let mut plan = LogicalPlanBuilder::scan("raw", provider_as_source(Arc::clone(raw)), None).unwrap();
    if let Some(filter) = &access.row_filter {
        plan = plan.filter(filter.clone()).unwrap();
    }
    let columns = access.columns.iter().map(|at| {
        let name = access.schema.field(*at).name();
        match access.masks.get(name) {
            Some(mask) => mask.clone().alias(name),
            None => Expr::Column(datafusion::common::Column::new_unqualified(name)).alias(name),
        }
    });
    let plan = plan.project(columns.collect::<Vec<_>>()).unwrap().build().unwrap();
    Arc::new(ViewTable::new(plan, None))
}

/// A person's session, with functions that record what they are given; stores and memory are those of the system's.
fn person(batch_size: usize, system: &SessionContext) -> (SessionContext, Arc<Mutex<Vec<String>>>) {
    let mut config = SessionConfig::new()
        .with_target_partitions(2)
        .with_batch_size(batch_size)
        .with_information_schema(true);
    config.options_mut().explain.show_statistics = true;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(system.runtime_env())
        .with_default_features()
        .with_optimizer_rules(mended::logical(order::rules()))
        .with_physical_optimizer_rules(mended::rules())
        .build();
    let context = SessionContext::new_with_state(state);
    let heard = Arc::new(Mutex::new(Vec::new()));
    for (name, kind) in [("f_leak", DataType::Utf8View), ("f_leak_n", DataType::Int64)] {
        let ear = Arc::clone(&heard);
        let listen = move |args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let text = arrow::compute::cast(&arrays[0], &DataType::Utf8)?;
            ear.lock()
                .unwrap()
                .extend(text.as_string::<i32>().iter().flatten().map(str::to_owned));
            Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(vec![
                true;
                text.len()
            ]))))
        };
        let function = create_udf(
            name,
            vec![kind],
            DataType::Boolean,
            Volatility::Immutable,
            Arc::new(listen),
        );
        context.register_udf(function);
    }
    (context, heard)
}
