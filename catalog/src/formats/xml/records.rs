//! Which elements of a tree are records, and what their columns are.
//!
//! A record is an element that stands several times in one place. Its attributes and leaves are columns, those of
//! elements around it that stand once are columns too; a list of names and values inside it is more columns. The place
//! whose records hold most values is the main table; other repeated places with numbers are further tables.

use std::collections::{HashMap, HashSet};

use crate::formats::column::Cells;
use crate::formats::number;
use crate::formats::xml::tree::{Element, Tree};

/// Attributes that name an entry of a list of names and values.
const NAME_KEYS: [&str; 4] = ["name", "key", "id", "parameter"];
/// Attributes that hold its value.
const VALUE_KEYS: [&str; 2] = ["value", "val"];
/// Tables beside the main one.
const OTHERS_MAX: usize = 15;
/// Columns of its own that a table beside it has, where it measures nothing.
const OWN_COLUMNS_MIN: usize = 2;

/// A table of records.
#[derive(Debug)]
pub(super) struct Records<'t> {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    rows: Vec<Vec<&'t str>>,
}

impl Cells for Records<'_> {
    fn height(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows
            .get(row)
            .and_then(|row| row.get(column))
            .copied()
            .unwrap_or_default()
    }
}

/// What stands once in the document, by the way to it from the root.
pub(super) fn once(tree: &Tree) -> Vec<(String, &str)> {
    let places = Places::of(tree);
    let mut told = Vec::new();
    if let Some(root) = tree.elements.first() {
        places.inside(root, "", &mut told);
    }
    // The name of a root with text of its own would be said of nothing.
    told.retain(|(name, value)| !name.is_empty() && !value.is_empty());
    told
}

/// The document as one record, where nothing in it repeats and it says more than one thing.
pub(super) fn one(tree: &Tree, columns_max: usize) -> Option<Records<'_>> {
    let told = once(tree);
    let places = Places::of(tree);
    if !places.repeated.is_empty() || told.len() < 2 || told.len() > columns_max {
        return None;
    }
    let (columns, row): (Vec<String>, Vec<&str>) = told.into_iter().unzip();
    Some(Records {
        name: tree.elements.first().map_or("", |root| tree.name(root.path)).to_owned(),
        columns,
        rows: vec![row],
    })
}

/// Rows of unnamed cells (`<Row><Cell>A1</Cell><Cell>0.5</Cell></Row>`), with the line of their names before them, if there
/// is one; the name of what holds them, and the cells.
pub(super) fn cells(tree: &Tree) -> Option<(String, Vec<Vec<&str>>)> {
    let places = Places::of(tree);
    // All children one kind of leaf, without a name of its own.
    let row = |element: &Element| -> Option<(usize, Vec<&str>)> {
        let cells: Vec<&Element> = element
            .children
            .iter()
            .filter_map(|child| tree.elements.get(*child))
            .collect();
        let path = cells.first().map(|cell| cell.path)?;
        let is_cell = |cell: &&Element| {
            cell.path == path
                && cell.children.is_empty()
                && cell.attributes.iter().all(|(key, _)| !is_key(&NAME_KEYS, key))
        };
        let is_plain = element.attributes.is_empty() && element.text.is_empty();
        (is_plain && cells.len() > 1 && cells.iter().all(is_cell))
            .then(|| (path, cells.iter().map(|cell| cell.text.as_str()).collect()))
    };
    let mut found: Option<(String, Vec<Vec<&str>>)> = None;
    for parent in &tree.elements {
        let children: Vec<&Element> = parent
            .children
            .iter()
            .filter_map(|child| tree.elements.get(*child))
            .collect();
        let Some(path) = children
            .iter()
            .map(|child| child.path)
            .find(|path| places.repeated.contains(path))
        else {
            continue;
        };
        let all = children.iter().filter(|child| child.path == path);
        let Some(rows) = all
            .map(|child| row(child).map(|(_, cells)| cells))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        if rows.len() < 2 || rows.iter().filter(|row| row.len() == width).count() * 2 < rows.len() {
            continue;
        }
        let before = children.iter().take_while(|child| child.path != path);
        let names = before
            .filter_map(|child| row(child))
            .map(|(_, cells)| cells)
            .find(|cells| cells.len() == width);
        // Several such tables are records of the general kind, lest one is read and the others are not.
        if found.is_some() {
            return None;
        }
        found = Some((
            tree.name(parent.path).to_owned(),
            names.into_iter().chain(rows).collect(),
        ));
    }
    found
}

/// The tables of a tree, the main one first; and the names of repeated elements that became none.
pub(super) fn of(tree: &Tree, columns_max: usize) -> (Vec<Records<'_>>, Vec<String>) {
    let places = Places::of(tree);
    let mut found: Vec<(usize, bool, Records<'_>)> = Vec::new();
    let mut left = Vec::new();
    let mut candidates: Vec<usize> = places.repeated.iter().copied().collect();
    candidates.sort_unstable();
    for path in candidates.into_iter().filter(|path| !places.lists.contains(path)) {
        let records = places.records(path, columns_max);
        let around = places.around(path);
        let own = records.distinct_from(around);
        let tells = records.measures() || records.columns.len() >= around + OWN_COLUMNS_MIN;
        if own > 0 {
            found.push((own, tells, records));
        }
    }
    found.sort_by_key(|(own, _, _)| std::cmp::Reverse(*own));
    // The main table is the one that says most; of the others those that measure go first.
    if let Some((_, others)) = found.split_first_mut() {
        others.sort_by_key(|(_, _, records)| !records.measures());
    }
    let mut kept: Vec<Records<'_>> = Vec::new();
    for (_, tells, records) in found {
        if kept.is_empty() || (kept.len() <= OTHERS_MAX && tells) {
            kept.push(records);
        } else {
            left.push(format!("{} ({})", records.name, records.rows.len()));
        }
    }
    (kept, left)
}

impl Records<'_> {
    /// Different values of the columns from `first` on: what a drawing repeats counts once, what was measured as often
    /// as it was.
    fn distinct_from(&self, first: usize) -> usize {
        let cells = self.rows.iter().flat_map(|row| row.iter().enumerate().skip(first));
        let distinct: HashSet<(usize, &str)> = cells
            .filter(|(_, value)| !value.is_empty())
            .map(|(column, value)| (column, *value))
            .collect();
        distinct.len()
    }

    /// Whether some column has different numbers with fractions; ids and settings are whole or always the same.
    fn measures(&self) -> bool {
        (0..self.columns.len()).any(|column| {
            let values: HashSet<&str> = self.rows.iter().filter_map(|row| row.get(column).copied()).collect();
            let is_float = |value: &&&str| matches!(number::parse(value), Some(number::Number::Float(_)));
            values.iter().filter(is_float).count() > 1
        })
    }
}

struct Places<'t> {
    tree: &'t Tree,
    /// Paths that some parent holds several times.
    repeated: HashSet<usize>,
    /// Repeated paths whose elements are names and values.
    lists: HashSet<usize>,
}

impl<'t> Places<'t> {
    fn of(tree: &'t Tree) -> Self {
        let mut repeated = HashSet::new();
        for element in &tree.elements {
            let mut seen = HashSet::new();
            for child in element.children.iter().filter_map(|child| tree.elements.get(*child)) {
                if !seen.insert(child.path) {
                    repeated.insert(child.path);
                }
            }
        }
        let mut lists: HashSet<usize> = repeated.clone();
        for element in &tree.elements {
            if lists.contains(&element.path) && entry(element).is_none() {
                lists.remove(&element.path);
            }
        }
        Self { tree, repeated, lists }
    }

    /// All elements of a place as rows.
    fn records(&self, path: usize, columns_max: usize) -> Records<'t> {
        let mut columns: Vec<String> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut rows: Vec<Vec<&'t str>> = Vec::new();
        for element in self.tree.elements.iter().filter(|element| element.path == path) {
            let mut values: Vec<(String, &'t str)> = Vec::new();
            self.above(element, &mut values);
            self.inside(element, "", &mut values);
            let mut row: Vec<Option<&'t str>> = Vec::new();
            for (name, value) in values {
                // A record may say one name several times: each is a column, none is lost.
                let mut unique = name.clone();
                let mut times = 1;
                let is_taken = |row: &[Option<&str>], column: usize| row.get(column).is_some_and(Option::is_some);
                while index.get(&unique).is_some_and(|column| is_taken(&row, *column)) {
                    times += 1;
                    unique = format!("{name}_{times}");
                }
                let column = match index.get(&unique) {
                    Some(column) => *column,
                    None if columns.len() >= columns_max => continue,
                    None => {
                        index.insert(unique.clone(), columns.len());
                        columns.push(unique);
                        columns.len() - 1
                    }
                };
                if row.len() <= column {
                    row.resize(column + 1, None);
                }
                if let Some(place) = row.get_mut(column) {
                    *place = Some(value);
                }
            }
            let row = row.into_iter().map(Option::unwrap_or_default).collect();
            rows.push(row);
        }
        Records {
            name: self.tree.name(path).to_owned(),
            columns,
            rows,
        }
    }

    /// How many values the elements around a place give to each of its records at least.
    fn around(&self, path: usize) -> usize {
        let first = self.tree.elements.iter().find(|element| element.path == path);
        let mut values = Vec::new();
        if let Some(first) = first {
            self.above(first, &mut values);
        }
        values.len()
    }

    /// Attributes and single leaves of the elements around, named by their element; of elements that repeat themselves all that stands
    /// once in them, however deep, as it tells their records from others'.
    fn above(&self, element: &'t Element, values: &mut Vec<(String, &'t str)>) {
        let mut chain = Vec::new();
        let mut parent = element.parent;
        while let Some(at) = parent.and_then(|at| self.tree.elements.get(at)) {
            chain.push(at);
            parent = at.parent;
        }
        let on_the_way: HashSet<usize> = chain.iter().map(|around| around.path).chain([element.path]).collect();
        // The root first; what stands once in the document is the document's, not the records'.
        let mut repeats = false;
        for around in chain.iter().rev() {
            repeats |= self.repeated.contains(&around.path);
            let name = self.tree.name(around.path);
            for (key, value) in &around.attributes {
                values.push((format!("{name}_{key}"), value));
            }
            for child in self.children(around).filter(|child| !on_the_way.contains(&child.path)) {
                let leaf = self.tree.name(child.path);
                if repeats && self.lists.contains(&child.path) {
                    values.extend(entry(child).map(|(key, value)| (format!("{name}_{key}"), value)));
                } else if self.repeated.contains(&child.path) {
                    // Records of their own.
                } else if child.children.is_empty() {
                    values.extend(
                        child
                            .attributes
                            .iter()
                            .map(|(key, value)| (format!("{leaf}_{key}"), value.as_str())),
                    );
                    if !child.text.is_empty() {
                        values.push((format!("{name}_{leaf}"), &child.text));
                    }
                } else if repeats {
                    self.inside(child, leaf, values);
                }
            }
        }
    }

    /// What a record holds itself: attributes, text, leaves, single elements below it, lists of names and values.
    fn inside(&self, element: &'t Element, prefix: &str, values: &mut Vec<(String, &'t str)>) {
        let named = |name: &str| {
            if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}_{name}")
            }
        };
        for (key, value) in &element.attributes {
            values.push((named(key), value));
        }
        if !element.text.is_empty() {
            let name = if prefix.is_empty() { "value" } else { prefix };
            values.push((name.to_owned(), &element.text));
        }
        for child in self.children(element) {
            if self.lists.contains(&child.path) {
                if let Some((name, value)) = entry(child) {
                    values.push((name.to_owned(), value));
                }
            } else if !self.repeated.contains(&child.path) {
                self.inside(child, &named(self.tree.name(child.path)), values);
            }
        }
    }

    fn children(&self, element: &Element) -> impl Iterator<Item = &'t Element> {
        let tree = self.tree;
        element
            .children
            .clone()
            .into_iter()
            .filter_map(move |child| tree.elements.get(child))
    }
}

/// Name and value of an element that holds nothing else: `<p name="x" value="1"/>` or `<p name="x">1</p>`.
fn entry(element: &Element) -> Option<(&str, &str)> {
    if !element.children.is_empty() {
        return None;
    }
    match element.attributes.as_slice() {
        [(key, name)] if is_key(&NAME_KEYS, key) => Some((name, element.text.as_str())),
        [(key, name), (other, value)]
            if is_key(&NAME_KEYS, key) && is_key(&VALUE_KEYS, other) && element.text.is_empty() =>
        {
            Some((name, value))
        }
        _ => None,
    }
}

fn is_key(keys: &[&str], key: &str) -> bool {
    keys.contains(&key.to_lowercase().as_str())
}
