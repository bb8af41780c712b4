//! Four months in the lab: which plate was run when, by whom, with what, and what came out.

use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, Weekday};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::effects;
use super::materials::{
    Additive, BASES, CATALYSTS, Catalyst, Lot, SCAFFOLDS, SOLVENTS, Scaffold, TEMPERATURES, day, lot_in_use, lots,
};
use super::molecules::{self, Molecule};

/// One seed for the whole lab.
pub(super) const SEED: u64 = 20_260_301;
pub(super) const PLATES: usize = 96;
pub(super) const ROWS: u32 = 16;
pub(super) const COLUMNS: u32 = 24;
/// Bromides in stock. A plate carries half of them, one a column.
const REACTANTS_TRIED: usize = 48;
/// Bromides that only the virtual library knows.
const REACTANTS_NEW: usize = 16;

/// A bromide; its name, structure and descriptors.
pub(super) type Reactant = Molecule;

/// The three layouts, one a vendor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// Comma-separated list below a key–value head.
    List,
    /// Semicolons and decimal commas, as a German Windows writes.
    DecimalComma,
    /// Plate matrix, tabs, UTF-16 with byte order mark.
    Matrix,
}

pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) serial: &'static str,
    pub(super) layout: Layout,
    pub(super) drifts: bool,
}

pub(super) const DRIFTING: &str = "Lyra 300";

pub(super) const INSTRUMENTS: [Instrument; 3] = [
    Instrument {
        name: "Orion PR3",
        serial: "OR-20417",
        layout: Layout::List,
        drifts: false,
    },
    Instrument {
        name: DRIFTING,
        serial: "LY-00932",
        layout: Layout::DecimalComma,
        drifts: true,
    },
    Instrument {
        name: "Vega UPLC",
        serial: "VG-7781",
        layout: Layout::Matrix,
        drifts: false,
    },
];

const OPERATORS: [&str; 4] = ["mara.lindt", "jon.aske", "ines.rocha", "tom.berger"];

/// One plate: everything its 384 wells share, and the wells.
pub(super) struct Plate {
    pub(super) number: usize,
    pub(super) id: String,
    pub(super) run_at: NaiveDateTime,
    pub(super) operator: &'static str,
    pub(super) instrument: &'static Instrument,
    pub(super) campaign: &'static str,
    pub(super) status: &'static str,
    pub(super) scaffold: &'static Scaffold,
    pub(super) catalyst: &'static Catalyst,
    pub(super) catalyst_lot: String,
    pub(super) temperature_c: i64,
    pub(super) wells: Vec<Well>,
}

pub(super) struct Well {
    /// 0 is A.
    pub(super) row: u32,
    /// 1 to 24.
    pub(super) column: u32,
    pub(super) reactant: Arc<Reactant>,
    pub(super) base: &'static Additive,
    pub(super) solvent: &'static Additive,
    /// Percent, rounded to two digits as the instruments do; none where the well was not filled.
    pub(super) yield_pct: Option<f64>,
}

impl Well {
    pub(super) fn letter(&self) -> char {
        char::from_u32(u32::from('A') + self.row).unwrap_or('?')
    }

    pub(super) fn name(&self) -> String {
        format!("{}{}", self.letter(), self.column)
    }

    pub(super) fn is_edge(&self) -> bool {
        self.row == 0 || self.row == ROWS - 1 || self.column == 1 || self.column == COLUMNS
    }
}

/// The lab after its four months.
pub(super) struct Lab {
    pub(super) plates: Vec<Plate>,
    /// The bromides in stock, then those nobody has tried.
    pub(super) reactants: Vec<Arc<Reactant>>,
}

impl Lab {
    pub(super) fn run() -> Lab {
        let mut random = StdRng::seed_from_u64(SEED);
        let reactants = pick_reactants(&mut random);
        let lots = lots();
        let plates = plan(&mut random, &reactants)
            .into_iter()
            .zip(run_times())
            .enumerate()
            .map(|(index, (design, run_at))| run_plate(&mut random, index + 1, design, run_at, &lots))
            .collect();
        Lab { plates, reactants }
    }
}

/// What is decided before a plate is made.
struct Design {
    scaffold: &'static Scaffold,
    catalyst: &'static Catalyst,
    reactants: Vec<Arc<Reactant>>,
}

/// Small to middling bromides only: the heavy and greasy end of the list would not dissolve.
fn pick_reactants(random: &mut StdRng) -> Vec<Arc<Reactant>> {
    let mut all = molecules::all(true);
    all.retain(|molecule| (170.0..380.0).contains(&molecule.full_mwt) && (0.5..6.0).contains(&molecule.alogp));
    all.shuffle(random);
    all.into_iter()
        .take(REACTANTS_TRIED + REACTANTS_NEW)
        .map(Arc::new)
        .collect()
}

/// Each scaffold meets each catalyst with both halves of the stock: 120 plates, of which the lab got through 96.
fn plan(random: &mut StdRng, reactants: &[Arc<Reactant>]) -> Vec<Design> {
    let stock = || reactants.iter().take(REACTANTS_TRIED);
    let halves = [0, 1].map(|half| stock().skip(half).step_by(2).cloned().collect::<Vec<_>>());
    let mut designs = Vec::new();
    for scaffold in &SCAFFOLDS {
        for catalyst in &CATALYSTS {
            for half in &halves {
                designs.push(Design {
                    scaffold,
                    catalyst,
                    reactants: half.clone(),
                });
            }
        }
    }
    designs.shuffle(random);
    designs.truncate(PLATES);
    designs
}

/// The working day without a run: the power was off.
pub(super) fn missing_day() -> NaiveDate {
    day(5, 13)
}

/// Every working day but the missing one has a plate at half past nine; every ninth has a second after lunch:
/// 86 days and 96 plates.
pub(super) fn run_times() -> Vec<NaiveDateTime> {
    let working = |date: &NaiveDate| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) && *date != missing_day();
    let dates = day(3, 1)
        .iter_days()
        .take_while(|date| *date <= day(6, 30))
        .filter(working);
    let mut times = Vec::new();
    for (index, date) in dates.enumerate() {
        times.extend(date.and_hms_opt(9, 30, 0));
        if index % 9 == 4 {
            times.extend(date.and_hms_opt(14, 10, 0));
        }
    }
    times
}

fn run_plate(random: &mut StdRng, number: usize, design: Design, run_at: NaiveDateTime, lots: &[Lot]) -> Plate {
    let Design {
        scaffold,
        catalyst,
        mut reactants,
    } = design;
    let id = format!("P{number:04}");
    let date = run_at.date();
    let outlier = id == effects::OUTLIER_PLATE;
    let lot = lot_in_use(lots, catalyst.name, date);
    let bad_lot = lot.is_some_and(|lot| lot.bad);
    let instrument = pick(random, &INSTRUMENTS, &INSTRUMENTS[0]);
    let (temperature_c, temperature_points) = *pick(random, &TEMPERATURES, &TEMPERATURES[0]);
    let operator = *pick(random, &OPERATORS, &OPERATORS[0]);
    let status = match random.random_range(0..20_u32) {
        _ if outlier => "rejected",
        0..14 => "released",
        14..17 => "draft",
        _ => "rejected",
    };

    // Shuffled on every plate, so that a place on the plate says nothing about what is in it.
    reactants.shuffle(random);
    let mut conditions: Vec<_> = BASES
        .iter()
        .flat_map(|base| SOLVENTS.iter().map(move |s| (base, s)))
        .collect();
    conditions.shuffle(random);

    let mut wells = Vec::new();
    for (row, (base, solvent)) in (0..ROWS).zip(conditions) {
        for (column, reactant) in (1..=COLUMNS).zip(&reactants) {
            let mut well = Well {
                row,
                column,
                reactant: Arc::clone(reactant),
                base,
                solvent,
                yield_pct: None,
            };
            let expected = effects::of_conditions(scaffold, reactant, catalyst, (base, solvent), temperature_points)
                + effects::of_handling(&well, bad_lot, instrument, date);
            let (shift, sd) = if outlier {
                (effects::OUTLIER, effects::OUTLIER_SD)
            } else {
                (0.0, effects::NOISE_SD)
            };
            let measured = expected + shift + sd * effects::noise(random);
            let empty = random.random_ratio(1, effects::EMPTY_WELLS_ONE_IN) && instrument.layout != Layout::Matrix;
            well.yield_pct = (!empty).then(|| (measured.clamp(0.0, 100.0) * 100.0).round() / 100.0);
            wells.push(well);
        }
    }
    Plate {
        number,
        id,
        run_at,
        operator,
        instrument,
        campaign: campaign(date),
        status,
        scaffold,
        catalyst,
        catalyst_lot: lot.map(|lot| lot.lot.clone()).unwrap_or_default(),
        temperature_c,
        wells,
    }
}

fn campaign(date: NaiveDate) -> &'static str {
    if date < day(4, 1) {
        "aurora"
    } else if date < day(5, 1) + Days::new(10) {
        "borealis"
    } else {
        "cygnus"
    }
}

/// One of a table's entries, or `otherwise` should the table ever be empty.
fn pick<T>(random: &mut StdRng, items: &'static [T], otherwise: &'static T) -> &'static T {
    items.choose(random).unwrap_or(otherwise)
}
