//! What stands on the shelf: scaffolds, catalysts, bases, solvents, and the lots the catalysts were bought in.

use chrono::{Days, NaiveDate};

/// An amine that every well of a plate shares.
pub(super) struct Scaffold {
    pub(super) name: &'static str,
    pub(super) smiles: &'static str,
    /// Points of yield against the average scaffold.
    pub(super) points: f64,
}

pub(super) struct Catalyst {
    pub(super) name: &'static str,
    /// The first letters of its lot numbers.
    pub(super) code: &'static str,
    pub(super) points: f64,
    /// Points by class of bromide: carbocycle, azine, five-ring. The catalyst × bromide interaction.
    pub(super) likes: [f64; 3],
    pub(super) euro_per_g: f64,
}

/// A base or a solvent.
pub(super) struct Additive {
    pub(super) name: &'static str,
    pub(super) points: f64,
    pub(super) euro_per_g: f64,
}

/// A bottle: what the lot number on it stands for.
pub(super) struct Lot {
    pub(super) lot: String,
    pub(super) reagent: &'static str,
    pub(super) kind: &'static str,
    pub(super) in_use_from: NaiveDate,
    pub(super) euro_per_g: f64,
    pub(super) bad: bool,
}

/// °C, with points of yield.
pub(super) const TEMPERATURES: [(i64, f64); 3] = [(60, -4.0), (80, 2.0), (100, -1.0)];

#[rustfmt::skip]
pub(super) const SCAFFOLDS: [Scaffold; 10] = [
    Scaffold { name: "aniline",                  smiles: "Nc1ccccc1",        points: 5.0 },
    Scaffold { name: "2-aminopyridine",          smiles: "Nc1ccccn1",        points: -4.0 },
    Scaffold { name: "morpholine",               smiles: "C1COCCN1",         points: 4.0 },
    Scaffold { name: "N-Boc-piperazine",         smiles: "CC(C)(C)OC(=O)N1CCNCC1", points: 3.0 },
    Scaffold { name: "benzylamine",              smiles: "NCc1ccccc1",       points: 1.0 },
    Scaffold { name: "indoline",                 smiles: "C1Cc2ccccc2N1",    points: 2.0 },
    Scaffold { name: "azetidine",                smiles: "C1CNC1",           points: -2.0 },
    Scaffold { name: "2-aminothiazole",          smiles: "Nc1nccs1",         points: -6.0 },
    Scaffold { name: "tetrahydroisoquinoline",   smiles: "C1Cc2ccccc2CN1",   points: 0.0 },
    Scaffold { name: "3-aminopyrazole",          smiles: "Nc1cc[nH]n1",      points: -3.0 },
];

#[rustfmt::skip]
pub(super) const CATALYSTS: [Catalyst; 6] = [
    Catalyst { name: "XPhos Pd G3",     code: "XP",  points: 4.0,  likes: [5.0, -2.0, -3.0],  euro_per_g: 118.0 },
    Catalyst { name: "RuPhos Pd G3",    code: "RU",  points: 2.0,  likes: [-1.0, 4.0, -3.0],  euro_per_g: 124.5 },
    Catalyst { name: "BrettPhos Pd G3", code: "BR",  points: 5.0,  likes: [-2.0, -3.0, 5.0],  euro_per_g: 161.0 },
    Catalyst { name: "tBuXPhos Pd G3",  code: "TB",  points: -1.0, likes: [-6.0, 6.0, 0.0],   euro_per_g: 149.0 },
    Catalyst { name: "XantPhos Pd G3",  code: "XA",  points: -6.0, likes: [2.0, 2.0, -4.0],   euro_per_g: 96.0 },
    Catalyst { name: "PEPPSI-IPr",      code: "PE",  points: -4.0, likes: [0.0, -5.0, 5.0],   euro_per_g: 88.0 },
];

#[rustfmt::skip]
pub(super) const BASES: [Additive; 4] = [
    Additive { name: "Cs2CO3", points: 3.0,  euro_per_g: 1.9 },
    Additive { name: "K3PO4",  points: 0.5,  euro_per_g: 0.2 },
    Additive { name: "NaOtBu", points: 1.5,  euro_per_g: 0.4 },
    Additive { name: "DBU",    points: -5.0, euro_per_g: 0.3 },
];

#[rustfmt::skip]
pub(super) const SOLVENTS: [Additive; 4] = [
    Additive { name: "1,4-dioxane",        points: 2.5,  euro_per_g: 0.08 },
    Additive { name: "toluene",            points: 1.0,  euro_per_g: 0.04 },
    Additive { name: "tert-amyl alcohol",  points: 0.5,  euro_per_g: 0.07 },
    Additive { name: "DMSO",               points: -4.0, euro_per_g: 0.06 },
];

/// The lot with the planted fault, as it stands on the bottle.
pub(super) const BAD_LOT: &str = "XP-2604";

/// All lots, in the order they were opened. A catalyst has three in four months; bases and solvents one each.
pub(super) fn lots() -> Vec<Lot> {
    let mut lots = Vec::new();
    for (month, opened) in [(2, (2, 20)), (4, (4, 13)), (5, (5, 25))] {
        for (shift, catalyst) in (0..).zip(&CATALYSTS) {
            let lot = format!("{}-26{month:02}", catalyst.code);
            lots.push(Lot {
                bad: lot == BAD_LOT,
                lot,
                reagent: catalyst.name,
                kind: "catalyst",
                in_use_from: day(opened.0, opened.1) + Days::new(2 * shift),
                euro_per_g: catalyst.euro_per_g,
            });
        }
    }
    for (kind, shelf) in [("base", &BASES), ("solvent", &SOLVENTS)] {
        for (number, additive) in (1..).zip(shelf) {
            let letter = if kind == "base" { 'B' } else { 'S' };
            lots.push(Lot {
                lot: format!("{letter}{number}-2601"),
                reagent: additive.name,
                kind,
                in_use_from: day(1, 12),
                euro_per_g: additive.euro_per_g,
                bad: false,
            });
        }
    }
    lots.sort_by(|a, b| (a.in_use_from, &a.lot).cmp(&(b.in_use_from, &b.lot)));
    lots
}

/// The lot of `reagent` in use on `date`: the one opened last.
pub(super) fn lot_in_use<'a>(lots: &'a [Lot], reagent: &str, date: NaiveDate) -> Option<&'a Lot> {
    lots.iter()
        .rev()
        .find(|lot| lot.reagent == reagent && lot.in_use_from <= date)
}

/// A day of 2026; all dates of the demo are literals, so an impossible one is the epoch and a test would see it.
pub(super) fn day(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, day).unwrap_or_default()
}
