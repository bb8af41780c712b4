//! Readings of plates joined: one row for each well of each plate at each time or wavelength, one column for each thing
//! read, the plate's layout beside it.

use std::collections::{BTreeMap, HashSet};

use crate::formats::blocks::context::{Context, has_word};
use crate::formats::blocks::draft::Draft;
use crate::formats::blocks::layer::Layer;
use crate::formats::blocks::planned::Layouts;
use crate::formats::blocks::rows::Rows;
use crate::formats::blocks::scan::Plates;
use crate::formats::blocks::two::stem;
use crate::formats::blocks::well;
use crate::formats::column::Cells;

/// A longer title is a sentence and no name for a column.
pub(super) const NAME_CHARS_MAX: usize = 60;
/// Keys that name what was measured.
const VALUE_KEYS: [&str; 6] = [
    "measurement",
    "readout",
    "parameter",
    "analysisparameter",
    "data type",
    "datatype",
];
/// Titles of what was planned, not read.
const LAYOUT_WORDS: [&str; 4] = ["layout", "platemap", "plate map", "template"];
/// Titles of what was computed from readings.
const CALCULATED_WORDS: [&str; 1] = ["calc"];
/// Cells of keys that are the same in all rows; a long series of reads does not repeat a protocol a million times.
const CONSTANT_CELLS_MAX: usize = 1 << 23;
/// So many keys become columns of any series.
const CONSTANTS_MIN: usize = 8;
/// Keys above the plates that become columns; a longer head is a protocol.
const KEYS_MAX: usize = 64;

/// What a section of a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Reading,
    Calculated,
    Layout,
}

/// One section: its state and what its titles say.
pub(super) struct Section<'a> {
    kind: Kind,
    /// Which plate, by the titles.
    pub(super) plate: Option<String>,
    /// What was read, by the titles.
    pub(super) title: Option<String>,
    /// What was read, by a key.
    measured: Option<String>,
    /// Place in the list of distinct states (keys and values that hold here).
    pub(super) state: usize,
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) first: usize,
}

/// The tables that plates make: readings, then what was calculated, each of one shape.
pub(super) fn drafts<'a>(head: &[(String, String)], plates: Vec<Plates<'a>>) -> Vec<Draft<'a>> {
    let (keys, states, sections) = sections(head, plates);
    let mut layout = Layouts::default();
    let mut groups: Vec<(Signature, Vec<Section<'a>>)> = Vec::new();
    let has_readings = sections.iter().any(|section| section.kind != Kind::Layout);
    let mut goes_on = false;
    for section in sections {
        if section.kind == Kind::Layout && has_readings {
            layout.take(section, goes_on);
            goes_on = true;
            continue;
        }
        goes_on = false;
        let signature = Signature::of(&section);
        match groups.iter_mut().find(|(known, _)| *known == signature) {
            Some((_, sections)) => sections.push(section),
            None => groups.push((signature, vec![section])),
        }
    }
    groups.sort_by_key(|(signature, _)| signature.kind);
    let mut drafts: Vec<Draft<'a>> = Vec::new();
    for (signature, sections) in groups {
        let mut draft = Group::new(&keys, &states, &sections, &layout).draft();
        draft.title = match (drafts.is_empty(), signature.kind) {
            (true, _) => None,
            (false, Kind::Calculated) => Some("calculated".to_owned()),
            (false, Kind::Reading | Kind::Layout) => sections
                .iter()
                .find_map(|section| section.title.clone())
                .filter(|title| title.chars().count() <= NAME_CHARS_MAX)
                .or_else(|| Some("plate values".to_owned())),
        };
        if draft.height() > 0 {
            drafts.push(draft);
        }
    }
    drafts
}

/// Layers of one signature make one table.
#[derive(Debug, PartialEq, Eq)]
struct Signature {
    kind: Kind,
    axis: Vec<String>,
    beside: bool,
}

impl Signature {
    fn of(section: &Section<'_>) -> Self {
        let first = section.layers.first();
        Self {
            kind: section.kind,
            axis: first.map_or_else(Vec::new, |layer| {
                layer.axis.iter().map(|(name, _)| name.clone()).collect()
            }),
            beside: first.is_some_and(|layer| layer.beside.is_some()),
        }
    }
}

type States = Vec<Vec<String>>;

/// Keys that are columns, the distinct states of their values, and the sections.
fn sections<'a>(head: &[(String, String)], plates: Vec<Plates<'a>>) -> (Vec<String>, States, Vec<Section<'a>>) {
    let mut keys: Vec<String> = Vec::new();
    let all = plates
        .iter()
        .flat_map(|plates| plates.context.pairs.iter().chain(&plates.context.row));
    for (key, _) in head.iter().chain(all) {
        if !keys.contains(key) && keys.len() < KEYS_MAX && !is_value_key(key) {
            keys.push(key.clone());
        }
    }
    let mut current: BTreeMap<String, String> = head.iter().cloned().collect();
    let mut states: States = Vec::new();
    let mut sections = Vec::new();
    let mut plate = None;
    let mut last_title = None;
    for Plates { context, layers, first } in plates {
        current.extend(context.pairs.iter().chain(&context.row).cloned());
        let values: Vec<String> = keys
            .iter()
            .map(|key| current.get(key).cloned().unwrap_or_default())
            .collect();
        let state = match states.iter().position(|known| *known == values) {
            Some(at) => at,
            None => {
                states.push(values);
                states.len() - 1
            }
        };
        let (named, title) = titles(&context);
        // A plate's title holds until the next one.
        plate = named.or(plate);
        // Another plate (its keys say so) of a reading that was named above the first one only.
        let goes_on = title.is_none() && context.open_titles().is_empty() && !context.pairs.is_empty();
        let title = if goes_on { last_title.clone() } else { title };
        last_title.clone_from(&title);
        sections.push(Section {
            kind: kind(&context, title.as_deref(), &layers),
            plate: plate.clone(),
            title,
            measured: measured(&current),
            state,
            layers,
            first,
        });
        // What was measured here says nothing of the next section, unless it stands in the head.
        current.retain(|key, _| !is_value_key(key) || head.iter().any(|(known, _)| known == key));
    }
    (keys, states, sections)
}

/// What a key says was measured.
fn measured(state: &BTreeMap<String, String>) -> Option<String> {
    let named = state.iter().find(|(key, value)| is_value_key(key) && !value.is_empty());
    named.map(|(_, value)| value.clone())
}

/// The title that names a plate, and the last one that does not. Only the last two may name a plate: a protocol further
/// up speaks of plates as well.
fn titles(context: &Context) -> (Option<String>, Option<String>) {
    let open = context.open_titles();
    let plate = open.iter().rev().take(2).find(|title| names_plate(title)).cloned();
    let title = context.title().filter(|title| plate.as_deref() != Some(title));
    (plate, title.map(str::to_owned))
}

/// `Plate 1`, `Blank plate`, `Assay plate 2`; not `Eject plate on completion`.
fn names_plate(title: &str) -> bool {
    let text = title.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("plate"));
    let is_last = at.is_some_and(|at| words.len() <= at + 2);
    is_last && words.len() <= 4 && !LAYOUT_WORDS.iter().any(|word| has_word(&text, word))
}

fn kind(context: &Context, title: Option<&str>, layers: &[Layer<'_>]) -> Kind {
    let title = title.unwrap_or_default().to_lowercase();
    let last_titles = context.open_titles().iter().rev().take(2);
    let says_layout = last_titles
        .map(|title| title.to_lowercase())
        .any(|title| LAYOUT_WORDS.iter().any(|word| has_word(&title, word)));
    let names_samples = !layers.is_empty()
        && layers.iter().all(|layer| {
            let label = layer.label.as_deref().unwrap_or_default().to_lowercase();
            has_word(&label, "sample") || has_word(&label, "well id")
        });
    if says_layout || names_samples {
        Kind::Layout
    } else if CALCULATED_WORDS.iter().any(|word| has_word(&title, word)) || context.says(&CALCULATED_WORDS) {
        Kind::Calculated
    } else {
        Kind::Reading
    }
}

/// Sections of one signature on their way to one table.
pub(super) struct Group<'g, 'a> {
    keys: &'g [String],
    states: &'g [Vec<String>],
    pub(super) sections: &'g [Section<'a>],
    layout: &'g Layouts<'a>,
    /// Readings named by titles that differ only in numbers are rows, not columns.
    pub(super) long: bool,
    has_plates: bool,
}

impl<'g, 'a> Group<'g, 'a> {
    fn new(
        keys: &'g [String],
        states: &'g [Vec<String>],
        sections: &'g [Section<'a>],
        layout: &'g Layouts<'a>,
    ) -> Self {
        let untitled = sections
            .iter()
            .flat_map(|section| &section.layers)
            .all(|layer| layer.label.is_none())
            && sections.iter().all(|section| section.measured.is_none());
        let titles: HashSet<&str> = sections.iter().filter_map(|section| section.title.as_deref()).collect();
        let stems: HashSet<String> = titles.iter().map(|title| stem(title)).collect();
        Self {
            keys,
            states,
            sections,
            layout,
            long: untitled && titles.len() > 1 && stems.len() == 1,
            has_plates: sections.iter().any(|section| section.plate.is_some()),
        }
    }

    /// The name of a layer's column; `None` where one name serves all.
    pub(super) fn column_of(&self, section: &Section<'_>, layer: &Layer<'_>) -> Option<String> {
        let title = if self.long { None } else { section.title.clone() };
        layer
            .label
            .clone()
            .or_else(|| section.measured.clone())
            .or(title)
            .filter(|name| name.chars().count() <= NAME_CHARS_MAX)
    }

    /// The keys that become columns of so many rows, in order: those that differ between sections first of all.
    fn keys_for(&self, rows: usize) -> Vec<usize> {
        let states: Vec<&Vec<String>> = self
            .sections
            .iter()
            .filter_map(|section| self.states.get(section.state))
            .collect();
        let differs = |at: &usize| {
            states
                .iter()
                .any(|state| states.first().map(|first| first.get(*at)) != Some(state.get(*at)))
        };
        let (mut kept, same): (Vec<usize>, Vec<usize>) = (0..self.keys.len()).partition(differs);
        let most = (CONSTANT_CELLS_MAX / rows.max(1)).max(CONSTANTS_MIN);
        kept.extend(same.into_iter().take(most.saturating_sub(kept.len())));
        kept.sort_unstable();
        kept
    }

    fn draft(&self) -> Draft<'a> {
        let mut columns: Vec<Option<String>> = Vec::new();
        for section in self.sections {
            for layer in &section.layers {
                let column = self.column_of(section, layer);
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        let rows = Rows::of(self, &columns);
        let value_names = columns
            .iter()
            .map(|column| column.clone().unwrap_or_else(|| "value".to_owned()));
        let axis: Vec<String> = self
            .sections
            .first()
            .and_then(|section| section.layers.first())
            .map_or_else(Vec::new, |layer| {
                layer.axis.iter().map(|(name, _)| name.clone()).collect()
            });
        let keys = self.keys_for(rows.rows.len());
        let mut constants: Vec<String> = keys.iter().filter_map(|at| self.keys.get(*at).cloned()).collect();
        constants.extend(self.has_plates.then(|| "plate".to_owned()));
        constants.extend(self.long.then(|| "reading".to_owned()));
        for name in &mut constants {
            // A key called like one of our columns gives way to it.
            if ["well", "row", "column"].contains(&name.trim().to_lowercase().as_str()) {
                name.push_str("_of_head");
            }
        }
        let mut names = constants;
        names.extend(axis.iter().cloned());
        names.extend(rows.beside.then(|| {
            if axis.is_empty() && !self.long {
                "reading"
            } else {
                "read"
            }
            .to_owned()
        }));
        names.extend(["well", "row", "column"].map(str::to_owned));
        names.extend(self.layout.names.iter().cloned());
        let values_from = names.len();
        names.extend(value_names);
        let mut draft = Draft::new(names, self.sections.first().map_or(0, |section| section.first));
        draft.values_from = values_from;
        draft.blank_wells = rows.left_out;
        draft.by_place = rows.beside;
        for row in &rows.rows {
            let Some(section) = self.sections.get(row.section) else {
                continue;
            };
            let state = self.states.get(section.state).map_or(&[][..], Vec::as_slice);
            let constants = draft.constants(row.section, || {
                let mut constants: Vec<String> = keys
                    .iter()
                    .map(|at| state.get(*at).cloned().unwrap_or_default())
                    .collect();
                if self.has_plates {
                    constants.push(section.plate.clone().unwrap_or_default());
                }
                if self.long {
                    constants.push(section.title.clone().unwrap_or_default());
                }
                constants
            });
            let mut cells: Vec<std::borrow::Cow<'a, str>> = Vec::with_capacity(axis.len() + 4 + columns.len());
            let values = rows.axes.get(row.axis).map_or(&[][..], Vec::as_slice);
            cells.extend(values.iter().map(|value| value.clone().into()));
            cells.extend(rows.beside.then(|| row.beside.clone().unwrap_or_default().into()));
            cells.push(row.well.name().into());
            cells.push(well::letters(row.well.row).into());
            cells.push((row.well.column + 1).to_string().into());
            let planned = 0..self.layout.names.len();
            cells.extend(planned.map(|column| self.layout.of(section, row.well, column).into()));
            cells.extend(row.values.iter().map(|value| std::borrow::Cow::Borrowed(*value)));
            draft.push(constants, cells);
        }
        draft
    }
}

pub(super) fn is_value_key(key: &str) -> bool {
    VALUE_KEYS.contains(&key.trim().to_lowercase().as_str())
}
