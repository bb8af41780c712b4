//! The shape of a table: columns, rows and masks, each yes beside its no.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::prelude::SessionContext;
use labhouse_policies::{
    Access, Action, Attribute, PolicySet, Principal, ROLES_BROUGHT, Reason, TableAccess, TableObject, Tags,
    public_schema,
};

use crate::fixture::{FILTERS, POLICY, load, reference};

pub(crate) fn table() -> TableObject {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let fields = vec![
        text("status"),
        text("project"),
        text("secret"),
        Field::new("n", DataType::Int64, true),
        Field::new("until", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
    ];
    TableObject {
        reference: reference("chem", "r"),
        department: "chem".to_owned(),
        tags: Tags::new(),
        column_tags: BTreeMap::new(),
        schema: Arc::new(Schema::new(fields)),
    }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn shape(set: &PolicySet, who: &Principal, table: &TableObject) -> TableAccess {
    set.table(who, table, &SessionContext::new().state(), Action::Select)
}

fn open(set: &PolicySet, who: &str, table: &TableObject) -> Access {
    match shape(set, &Principal::new(who), table) {
        TableAccess::Open(access) => access,
        TableAccess::Hidden(decision) => panic!("{decision:?}"),
    }
}

fn hidden(set: &PolicySet, who: &str, table: &TableObject) -> Reason {
    match shape(set, &Principal::new(who), table) {
        TableAccess::Open(access) => panic!("{access:?}"),
        TableAccess::Hidden(decision) => decision.reason,
    }
}

fn columns(access: &Access) -> Vec<&str> {
    access
        .columns
        .iter()
        .map(|at| access.schema.field(*at).name().as_str())
        .collect()
}

fn policy(lines: &str) -> PolicySet {
    load(
        &format!("g, user:a, role:x, chem\np, role:x, *, lab, use, allow\n{lines}"),
        "",
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_table_needs_use_of_its_path_and_a_column() {
    let whole = "p, role:x, chem, lab/chem/**, use|select, allow\n";
    assert_eq!(columns(&open(&policy(whole), "a", &table())).len(), 6);
    assert_eq!(
        hidden(&policy("p, role:x, chem, lab/chem/**, select, allow\n"), "a", &table()),
        Reason::NothingMatched,
        "no use of the schema"
    );
    assert_eq!(
        hidden(
            &policy(&format!("{whole}p, role:x, chem, lab/chem, use, deny\n")),
            "a",
            &table()
        ),
        Reason::Denied
    );
    assert_eq!(
        hidden(
            &policy("p, role:x, chem, lab/chem, use, allow\np, role:x, chem, lab/chem/r, select, allow\n"),
            "a",
            &table()
        ),
        Reason::NoColumn
    );
    let one = "p, role:x, chem, lab/chem, use, allow\np, role:x, chem, lab/chem/r, select, allow\np, role:x, chem, lab/chem/r/n, select, allow\n";
    assert_eq!(columns(&open(&policy(one), "a", &table())), ["n"]);
    let denied = format!("{whole}p, role:x, *, lab/*/*/secret, select, deny\n");
    assert!(!columns(&open(&policy(&denied), "a", &table())).contains(&"secret"));
    assert_eq!(
        hidden(
            &policy(&format!("{whole}p, role:x, chem, lab/chem/*, select, deny\n")),
            "a",
            &table()
        ),
        Reason::Denied
    );
    let other = TableObject {
        department: "bio".to_owned(),
        ..table()
    };
    assert_eq!(
        hidden(&policy(whole), "a", &other),
        Reason::NothingMatched,
        "the department decides, not the path"
    );
    assert_eq!(hidden(&policy(whole), "b", &table()), Reason::NothingMatched);
}

#[test]
fn tags_open_and_close_downwards_and_the_strictest_wins() {
    let set =
        policy("p, role:x, chem, tag:sens=public, use|select, allow\np, role:x, chem, tag:pii=true, select, deny\n");
    assert_eq!(hidden(&set, "a", &table()), Reason::NothingMatched);
    let public = TableObject {
        tags: tags(&[("sens", "public")]),
        ..table()
    };
    assert_eq!(columns(&open(&set, "a", &public)).len(), 6);
    let personal_column = TableObject {
        column_tags: BTreeMap::from([("secret".to_owned(), tags(&[("pii", "true")]))]),
        ..public.clone()
    };
    assert_eq!(columns(&open(&set, "a", &personal_column)).len(), 5);
    let personal_table = TableObject {
        tags: tags(&[("sens", "public"), ("pii", "true")]),
        ..table()
    };
    assert_eq!(hidden(&set, "a", &personal_table), Reason::Denied);
    // A column that calls itself public in a table that is not, and the reverse: both stay closed.
    let loud = TableObject {
        tags: tags(&[("sens", "secret")]),
        column_tags: BTreeMap::from([("n".to_owned(), tags(&[("sens", "public")]))]),
        ..table()
    };
    assert_eq!(hidden(&set, "a", &loud), Reason::NothingMatched);
    let quiet = TableObject {
        column_tags: BTreeMap::from([("n".to_owned(), tags(&[("sens", "secret")]))]),
        ..public
    };
    assert!(!columns(&open(&set, "a", &quiet)).contains(&"n"));
    // The table denies pii, the column says it has none: the table's denial holds.
    let set = policy("p, role:x, chem, lab/chem/**, use|select, allow\np, role:x, chem, tag:level=3, select, deny\n");
    let mixed = TableObject {
        tags: tags(&[("level", "1")]),
        column_tags: BTreeMap::from([("n".to_owned(), tags(&[("level", "3")]))]),
        ..table()
    };
    assert_eq!(columns(&open(&set, "a", &mixed)).len(), 5);
}

pub(crate) const ROLES: &str = "\
g, user:ana, role:analyst, chem
g, user:sam, role:scientist, chem
g, role:scientist, role:analyst, chem
g, role:analyst, role:base, chem
g, user:tom, role:base, chem
p, role:base, *, lab, use, allow
p, role:base, chem, lab/chem/**, use|select, allow
p, role:scientist, chem, lab/chem/**, use|select, allow
";

fn filtered(lines: &str) -> PolicySet {
    let filters = "[filter.released]\ntable = \"lab/chem/*\"\nsql = \"status = 'released'\"\n[filter.mine]\ntable = \"lab/chem/r\"\nsql = \"project = ANY($user.projects)\"\n[filter.open]\ntable = \"lab/**\"\nsql = \"until IS NULL OR until <= current_date()\"\n";
    load(&format!("{ROLES}{lines}"), filters).unwrap_or_else(|e| panic!("{e}"))
}

fn rows(set: &PolicySet, who: &str) -> Option<String> {
    open(set, who, &table()).row_filter.map(|f| f.to_string())
}

#[test]
fn permissive_filters_bind_the_roles_behind_them_and_free_roles_see_all() {
    let set = filtered("p2, role:analyst, chem, lab/chem/r, permissive, released\n");
    assert!(
        rows(&set, "ana").unwrap().contains("released"),
        "not freed by the base role that she has through analyst"
    );
    assert_eq!(rows(&set, "sam"), None, "scientist grants the table by itself");
    assert_eq!(rows(&set, "tom"), None, "base has no filter");
    let both = filtered(
        "p2, role:analyst, chem, lab/chem/r, permissive, released\np2, role:scientist, chem, lab/chem/r, permissive, mine\n",
    );
    let sam = Principal::new("sam").with("projects", Attribute::List(vec!["p'1".to_owned(), "p2".to_owned()]));
    let TableAccess::Open(access) = shape(&both, &sam, &table()) else {
        panic!()
    };
    let text = access.row_filter.unwrap().to_string();
    assert!(
        text.contains("released") && text.contains(" OR ") && text.contains("p'1") && text.contains("p2"),
        "{text}"
    );
    let all = filtered("p2, *, *, lab/chem/r, permissive, released\n");
    assert!(
        rows(&all, "sam").is_some() && rows(&all, "tom").is_some(),
        "a filter for everybody leaves nobody free"
    );
}

#[test]
fn restrictive_filters_always_apply() {
    let set =
        filtered("p2, *, *, lab/chem/r, restrictive, open\np2, role:analyst, chem, lab/chem/r, permissive, released\n");
    let (ana, sam) = (rows(&set, "ana").unwrap(), rows(&set, "sam").unwrap());
    assert!(
        ana.contains("released") && ana.contains("until") && ana.contains(" AND "),
        "{ana}"
    );
    assert!(!sam.contains("released") && sam.contains("until"), "{sam}");
    // Time is pinned when a scan is planned, not here: the access of an hour ago must not freeze the clock.
    assert!(sam.contains("current_date()"), "{sam}");
}

#[test]
fn a_missing_attribute_shows_nothing_however_the_condition_is_turned() {
    for sql in [
        "project = ANY($user.projects)",
        "project NOT IN ($user.projects)",
        "NOT (project = $user.projects)",
        "project <> $user.projects",
    ] {
        let filters = format!("[filter.mine]\ntable = \"lab/chem/r\"\nsql = \"{sql}\"\n");
        let set = load(&format!("{ROLES}p2, *, *, lab/chem/r, restrictive, mine\n"), &filters).unwrap();
        let text = rows(&set, "ana").unwrap();
        assert!(text.contains("NULL"), "{sql}: {text}");
    }
}

#[test]
fn a_filter_or_mask_that_does_not_fit_closes_the_table() {
    let set = filtered("p2, role:analyst, chem, lab/chem/*, permissive, mine\n");
    assert!(matches!(
        shape(&set, &Principal::new("ana"), &table()),
        TableAccess::Open(_)
    ));
    let other = TableObject {
        reference: reference("chem", "other"),
        ..table()
    };
    assert!(
        matches!(hidden(&set, "ana", &other), Reason::Broken(why) if why.contains("policy.csv:9") && why.contains("does not cover"))
    );
    let changed = TableObject {
        schema: Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)])),
        ..table()
    };
    assert!(matches!(hidden(&set, "ana", &changed), Reason::Broken(why) if why.contains("mine")));
    assert_eq!(open(&set, "tom", &changed).row_filter, None);
}

#[test]
fn any_mask_of_a_held_role_applies_and_the_first_of_several() {
    let filters = "[mask.a]\ncolumn = \"lab/chem/r/*\"\nkind = \"constant\"\nvalue = \"first\"\n[mask.b]\ncolumn = \"lab/chem/r/secret\"\nkind = \"hash\"\n";
    let set = load(
        &format!("{ROLES}p3, role:analyst, chem, lab/chem/r/secret, a\np3, role:base, chem, lab/chem/r/secret, b\n"),
        filters,
    )
    .unwrap();
    let mask = |who: &str| open(&set, who, &table()).masks.get("secret").map(ToString::to_string);
    assert!(mask("ana").unwrap().contains("first") && mask("sam").unwrap().contains("first"));
    assert!(mask("tom").unwrap().contains("labhouse_mask"));
    let access = open(&set, "ana", &table());
    assert!(
        !format!("{access:?}").contains("first"),
        "expressions hold secrets and are not shown"
    );
}

#[test]
fn fingerprints_tell_what_is_shown() {
    let set = filtered("p2, role:analyst, chem, lab/chem/r, permissive, mine\n");
    let print = |who: &Principal| match shape(&set, who, &table()) {
        TableAccess::Open(access) => access.fingerprint,
        TableAccess::Hidden(decision) => panic!("{decision:?}"),
    };
    let ana = |project: &str| Principal::new("ana").with("projects", Attribute::List(vec![project.to_owned()]));
    assert_eq!(print(&ana("a")), print(&ana("a")));
    assert_ne!(print(&ana("a")), print(&ana("b")));
    assert_ne!(print(&ana("a")), print(&Principal::new("sam")));
    assert_eq!(
        print(&Principal::new("sam")),
        print(&Principal::new("tom")),
        "the same table is shown to both"
    );
}

#[test]
fn the_public_schema_tells_no_more_than_it_must() {
    let mut object = table();
    let note = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let noted = Field::new("status", DataType::Utf8, false).with_metadata(note(&[
        ("labhouse.original", "Status (raw)"),
        ("stats.max", "zz"),
        ("labhouse.tag.pii", "true"),
    ]));
    object.schema = Arc::new(Schema::new(vec![
        noted,
        Field::new(
            "secret",
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            false,
        ),
    ]));
    let set = load(
        &format!("{ROLES}p3, *, *, lab/chem/r/secret, m\n"),
        "[mask.m]\ncolumn = \"lab/chem/r/secret\"\nkind = \"null\"\n",
    )
    .unwrap();
    let schema = public_schema(&open(&set, "tom", &object));
    assert_eq!(
        schema.field(0).metadata(),
        &note(&[("labhouse.original", "Status (raw)")])
    );
    assert_eq!(
        (schema.field(1).data_type(), schema.field(1).is_nullable()),
        (&DataType::Utf8, true)
    );
    assert!(!schema.field(0).is_nullable());
}

#[test]
fn another_action_needs_its_own_grant() {
    let set = load(POLICY, FILTERS).unwrap();
    let mut object = table();
    object.reference = reference("chemistry", "other");
    object.department = "chemistry".to_owned();
    let state = SessionContext::new().state();
    let may = |who: &str, action: Action| {
        matches!(
            set.table(&Principal::new(who), &object, &state, action),
            TableAccess::Open(_)
        )
    };
    assert!(
        may("ana", Action::Select)
            && !may("ana", Action::Insert)
            && may("ada", Action::Delete)
            && !may("guest", Action::Use)
    );
}

#[test]
fn a_role_that_a_login_brings_holds_as_if_a_line_gave_it() {
    let set = policy(
        "g, role:x, role:y, chem\np, role:y, chem, lab/chem/r/secret, select, deny\np, role:x, chem, lab/chem/**, use|select, allow\n",
    );
    let bringing = |roles: &[&str]| {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        Principal::new("b").with(ROLES_BROUGHT, Attribute::List(roles))
    };
    let brought = bringing(&["role:x, chem"]);
    let TableAccess::Open(access) = shape(&set, &brought, &table()) else {
        panic!("closed");
    };
    assert_eq!(columns(&access), columns(&open(&set, "a", &table())));
    assert!(!columns(&access).contains(&"secret"));
    assert_eq!(set.roles_of(&brought), set.roles_of(&Principal::new("a")));
    // What was decided for one login is not remembered for another of the same name.
    let decide = |who: &Principal| {
        set.decide(who, "chem", "lab/chem/r", &Tags::new(), Action::Select)
            .allowed
    };
    assert!(decide(&brought) && !decide(&Principal::new("b")) && decide(&brought));
    // In its domain, by its name, and as a role.
    for roles in [
        &[][..],
        &["role:x, bio"],
        &["role:z, chem"],
        &["role:x"],
        &["user:a, chem"],
    ] {
        let access = shape(&set, &bringing(roles), &table());
        assert!(matches!(access, TableAccess::Hidden(_)), "{roles:?}");
        assert!(!decide(&bringing(roles)), "{roles:?}");
    }
}
