//! Random policies twice: as real `policy.csv` and `filters.toml`, and read by a second reading of the rules' meaning.
//!
//! The second reading is written from what the documents promise, not from the code: denials win; restrictive filters all
//! apply; permissive ones are joined over the roles held, unless a role that grants the table has none and is not reached
//! through one that has; any mask for a role held applies, the first in the file counts.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::condition::{Attributes, Condition};
use super::mask::{Mask, toml_text};
use super::rng::Rng;
use super::table::{Row, Table};

pub(crate) const USER: &str = "ana";
const ROLES: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// What a rule is about.
#[derive(Debug, Clone)]
enum Object {
    All,
    Schema(String),
    Table(String, String),
    Column(String, String, String),
    /// A column of that name in any table.
    AnyColumn(String),
    Tag(&'static str, &'static str),
}

#[derive(Debug, Clone)]
struct Grant {
    role: String,
    domain: String,
    object: Object,
    allow: bool,
}

#[derive(Debug, Clone)]
struct Filter {
    /// A role, or `*`.
    subject: String,
    domain: String,
    table: String,
    permissive: bool,
    condition: Condition,
    name: String,
}

#[derive(Debug, Clone)]
struct Masking {
    subject: String,
    domain: String,
    table: String,
    column: usize,
    mask: Mask,
    name: String,
}

/// A policy, and the person under it.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// (member, role, domain); the person is the member `USER`.
    links: Vec<(String, String, String)>,
    grants: Vec<Grant>,
    filters: Vec<Filter>,
    masks: Vec<Masking>,
    pub who: Attributes,
}

impl Object {
    fn random(rng: &mut Rng, tables: &[Table]) -> Object {
        let table = rng.pick(tables);
        let column = rng.pick(&table.columns).name.clone();
        match rng.below(8) {
            0 | 1 => Object::All,
            2 => Object::Schema(table.schema.clone()),
            3 | 4 => Object::Table(table.schema.clone(), table.name.clone()),
            5 => Object::Column(table.schema.clone(), table.name.clone(), column),
            6 => Object::AnyColumn(column),
            _ => rng
                .pick(&[Object::Tag("class", "open"), Object::Tag("pii", "true")])
                .clone(),
        }
    }

    fn path(&self) -> String {
        match self {
            Object::All => "lab/**".to_owned(),
            Object::Schema(schema) => format!("lab/{schema}/**"),
            Object::Table(schema, table) => format!("lab/{schema}/{table}/**"),
            Object::Column(schema, table, column) => format!("lab/{schema}/{table}/{column}"),
            Object::AnyColumn(column) => format!("lab/*/*/{column}"),
            Object::Tag(key, value) => format!("tag:{key}={value}"),
        }
    }

    /// Whether it means the table itself (no column) or one of its columns, under these tags.
    fn means(&self, table: &Table, column: Option<&str>, tags: &[(String, String)]) -> bool {
        match self {
            Object::All => true,
            Object::Schema(schema) => *schema == table.schema,
            Object::Table(schema, name) => (schema, name) == (&table.schema, &table.name),
            Object::Column(schema, name, of) => {
                (schema, name) == (&table.schema, &table.name) && column == Some(of.as_str())
            }
            Object::AnyColumn(of) => column == Some(of.as_str()),
            Object::Tag(key, value) => tags.iter().any(|(k, v)| (k.as_str(), v.as_str()) == (*key, *value)),
        }
    }
}

impl Policy {
    pub(crate) fn random(rng: &mut Rng, tables: &[Table]) -> Policy {
        let domain = |rng: &mut Rng| (*rng.pick(&["*", "*", "s0", "s1"])).to_owned();
        let mut links = vec![(USER.to_owned(), "r0".to_owned(), "*".to_owned())];
        for (member, role) in [
            (USER, "r1"),
            (USER, "r2"),
            ("r0", "r2"),
            ("r1", "r3"),
            ("r2", "r3"),
            ("r0", "r1"),
        ] {
            if rng.chance(35) {
                links.push((member.to_owned(), role.to_owned(), domain(rng)));
            }
        }
        let mut grants = Vec::new();
        for role in ROLES {
            if rng.chance(if role == "r0" { 75 } else { 15 }) {
                grants.push(Grant {
                    role: role.to_owned(),
                    domain: "*".to_owned(),
                    object: Object::All,
                    allow: true,
                });
            }
        }
        for _ in 0..rng.between(0, 5) {
            grants.push(Grant {
                role: (*rng.pick(&ROLES)).to_owned(),
                domain: domain(rng),
                object: Object::random(rng, tables),
                allow: true,
            });
        }
        for _ in 0..rng.below(5) {
            let object = match Object::random(rng, tables) {
                Object::All | Object::Schema(_) | Object::Table(_, _) => continue,
                object => object,
            };
            grants.push(Grant {
                role: (*rng.pick(&ROLES)).to_owned(),
                domain: domain(rng),
                object,
                allow: false,
            });
        }
        let subject = |rng: &mut Rng| (*rng.pick(&["r0", "r0", "r0", "*", "*", "r1", "r2", "r3"])).to_owned();
        let mut filters = Vec::new();
        let mut masks = Vec::new();
        for table in tables {
            for _ in 0..if rng.chance(85) { rng.between(1, 3) } else { 0 } {
                filters.push(Filter {
                    subject: subject(rng),
                    domain: domain(rng),
                    table: table.name.clone(),
                    permissive: rng.chance(60),
                    condition: Condition::random(rng, table, 2),
                    name: format!("f{}", filters.len()),
                });
            }
            for column in 1..table.columns.len() {
                for _ in 0..2 {
                    if rng.chance(18) {
                        masks.push(Masking {
                            subject: subject(rng),
                            domain: domain(rng),
                            table: table.name.clone(),
                            column,
                            mask: Mask::random(rng, table, column),
                            name: format!("m{}", masks.len()),
                        });
                    }
                }
            }
        }
        let projects = rng.some(&["a", "12", "released", "hv-1", "zz"], 40);
        Policy {
            links,
            grants,
            filters,
            masks,
            who: Attributes {
                site: (*rng.pick(&["a", "b", "released", "hv-2"])).to_owned(),
                projects: projects.into_iter().map(str::to_owned).collect(),
            },
        }
    }

    /// `policy.csv`. The note makes another policy of it, with the same meaning.
    pub(crate) fn csv(&self, tables: &[Table], note: &str) -> String {
        let typed = |member: &str| match member {
            USER => format!("user:{USER}"),
            "*" => "*".to_owned(),
            role => format!("role:{role}"),
        };
        let mut text = format!(
            "# {note}\ng, user:{USER}, role:base, *\np, role:base, *, lab, use, allow\np, role:base, *, lab/*, use, allow\n"
        );
        for (member, role, domain) in &self.links {
            writeln!(text, "g, {}, role:{role}, {domain}", typed(member)).unwrap();
        }
        for grant in &self.grants {
            let effect = if grant.allow { "allow" } else { "deny" };
            writeln!(
                text,
                "p, role:{}, {}, {}, select, {effect}",
                grant.role,
                grant.domain,
                grant.object.path()
            )
            .unwrap();
        }
        let schema = |name: &str| &tables.iter().find(|t| t.name == name).unwrap().schema;
        for filter in &self.filters {
            let mode = if filter.permissive { "permissive" } else { "restrictive" };
            let object = format!("lab/{}/{}", schema(&filter.table), filter.table);
            writeln!(
                text,
                "p2, {}, {}, {object}, {mode}, {}",
                typed(&filter.subject),
                filter.domain,
                filter.name
            )
            .unwrap();
        }
        for mask in &self.masks {
            let table = tables.iter().find(|t| t.name == mask.table).unwrap();
            let object = format!(
                "lab/{}/{}/{}",
                table.schema, table.name, table.columns[mask.column].name
            );
            writeln!(
                text,
                "p3, {}, {}, {object}, {}",
                typed(&mask.subject),
                mask.domain,
                mask.name
            )
            .unwrap();
        }
        text
    }

    /// `filters.toml`.
    pub(crate) fn toml(&self, tables: &[Table]) -> String {
        let mut text = String::new();
        for filter in &self.filters {
            let table = tables.iter().find(|t| t.name == filter.table).unwrap();
            writeln!(
                text,
                "[filter.{}]\ntable = \"lab/{}/{}\"\nsql = {}",
                filter.name,
                table.schema,
                table.name,
                toml_text(&filter.condition.sql(table))
            )
            .unwrap();
        }
        for mask in &self.masks {
            let table = tables.iter().find(|t| t.name == mask.table).unwrap();
            writeln!(
                text,
                "[mask.{}]\ncolumn = \"lab/{}/{}/{}\"\n{}",
                mask.name,
                table.schema,
                table.name,
                table.columns[mask.column].name,
                mask.mask.toml(table, mask.column)
            )
            .unwrap();
        }
        text
    }

    /// Which columns the person sees: their places in the table. Empty for a table that is not there.
    pub(crate) fn columns(&self, table: &Table) -> Vec<usize> {
        let held = self.held(&table.schema, |_| false);
        let allowed = |column: Option<&str>, tags: &[(String, String)]| {
            let mut allowed = false;
            for grant in self
                .grants
                .iter()
                .filter(|g| held.contains(&g.role) && covers(&g.domain, &table.schema))
            {
                if grant.object.means(table, column, tags) {
                    if !grant.allow {
                        return false;
                    }
                    allowed = true;
                }
            }
            allowed
        };
        let own: Vec<(String, String)> = table.tags.clone().into_iter().collect();
        if !allowed(None, &own) {
            return Vec::new();
        }
        let visible = |at: &usize| {
            let column = &table.columns[*at];
            readings(table, *at)
                .iter()
                .all(|tags| allowed(Some(&column.name), tags))
        };
        (0..table.columns.len()).filter(visible).collect()
    }

    /// The row as the person sees it, column by column; `None` if it is hidden.
    pub(crate) fn shown(&self, table: &Table, row: &Row) -> Option<Row> {
        let columns = self.columns(table);
        if columns.is_empty() || !self.shows(table, row) {
            return None;
        }
        let masks = self.masked(table);
        let value = |at: usize| match masks.iter().find(|(column, _)| *column == at) {
            Some((_, mask)) => mask.apply(row, at, &table.columns[at].kind, &self.who),
            None => row[at].clone(),
        };
        Some(columns.into_iter().map(value).collect())
    }

    /// Masked columns of the table, each once.
    pub(crate) fn masked(&self, table: &Table) -> Vec<(usize, &Mask)> {
        let held = self.held(&table.schema, |_| false);
        let mut found: Vec<(usize, &Mask)> = Vec::new();
        for mask in &self.masks {
            let applies = mask.table == table.name
                && covers(&mask.domain, &table.schema)
                && (mask.subject == "*" || held.contains(&mask.subject));
            if applies && found.iter().all(|(column, _)| *column != mask.column) {
                found.push((mask.column, &mask.mask));
            }
        }
        found
    }

    fn shows(&self, table: &Table, row: &Row) -> bool {
        let held = self.held(&table.schema, |_| false);
        let here = || {
            self.filters.iter().filter(|f| {
                f.table == table.name
                    && covers(&f.domain, &table.schema)
                    && (f.subject == "*" || held.contains(&f.subject))
            })
        };
        let holds = |filter: &Filter| filter.condition.holds(row, &self.who) == Some(true);
        if !here().filter(|f| !f.permissive).all(holds) {
            return false;
        }
        let permissive: Vec<&Filter> = here().filter(|f| f.permissive).collect();
        if permissive.is_empty() {
            return true;
        }
        let filtered = |role: &str| permissive.iter().any(|f| f.subject == "*" || f.subject == role);
        let tags: Vec<(String, String)> = table.tags.clone().into_iter().collect();
        let free = self.held(&table.schema, filtered);
        let set_free = self.grants.iter().any(|g| {
            g.allow
                && free.contains(&g.role)
                && !filtered(&g.role)
                && covers(&g.domain, &table.schema)
                && g.object.means(table, None, &tags)
        });
        set_free || permissive.into_iter().any(holds)
    }

    /// The roles held in a department, not looking behind one that stops.
    fn held(&self, department: &str, stops: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let mut held = BTreeSet::new();
        // A filter for everybody stops at the person already.
        let mut open = if stops(USER) { Vec::new() } else { vec![USER.to_owned()] };
        while let Some(member) = open.pop() {
            for (_, role, _) in self
                .links
                .iter()
                .filter(|(m, _, domain)| *m == member && covers(domain, department))
            {
                if held.insert(role.clone()) && !stops(role) {
                    open.push(role.clone());
                }
            }
        }
        held
    }
}

fn covers(domain: &str, department: &str) -> bool {
    domain == "*" || domain == department
}

/// The tags under which a column must be open: its own over its table's, and where the two contradict, either.
fn readings(table: &Table, column: usize) -> Vec<Vec<(String, String)>> {
    let own = &table.columns[column].tags;
    let mut readings: Vec<Vec<(String, String)>> = vec![Vec::new()];
    let keys: BTreeSet<&String> = table.tags.keys().chain(own.keys()).collect();
    for key in keys {
        let values: BTreeSet<&String> = table.tags.get(key).into_iter().chain(own.get(key)).collect();
        readings = readings
            .iter()
            .flat_map(|so_far| {
                values.iter().map(move |value| {
                    let mut next = so_far.clone();
                    next.push((key.clone(), (*value).clone()));
                    next
                })
            })
            .collect();
    }
    readings
}
