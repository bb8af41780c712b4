//! How a yield comes about. Every planted effect is a constant here, in points of yield.

use rand::Rng;
use rand::rngs::StdRng;

use super::lab::{Instrument, Reactant, Well};
use super::materials::{Additive, Catalyst, Scaffold, day};
use super::molecules::{Class, Molecule};
use chrono::NaiveDate;

/// The yield of an average reaction of this lab, in the middle of a plate.
pub(super) const AVERAGE: f64 = 58.0;
/// Points per unit of `alogp` above [`ALOGP_MIDDLE`]: the strongest of the three descriptors.
pub(super) const PER_ALOGP: f64 = -3.5;
pub(super) const ALOGP_MIDDLE: f64 = 3.0;
/// Points per rotatable bond above [`RTB_MIDDLE`].
pub(super) const PER_ROTATABLE_BOND: f64 = -1.8;
pub(super) const RTB_MIDDLE: f64 = 3.0;
/// Points per g/mol above [`WEIGHT_MIDDLE`].
pub(super) const PER_WEIGHT: f64 = -0.04;
pub(super) const WEIGHT_MIDDLE: f64 = 280.0;
/// Rows A and P, columns 1 and 24: solvent evaporates there.
pub(super) const EDGE: f64 = -6.0;
/// Every well made with the lot [`super::materials::BAD_LOT`].
pub(super) const BAD_LOT: f64 = -18.0;
/// What the instrument [`super::lab::DRIFTING`] loses per day, from [`drift_start`] on.
pub(super) const DRIFT_PER_DAY: f64 = -0.2;
/// The plate whose dispenser failed: [`OUTLIER`] points in all wells, and a lot of scatter. Its status is `rejected`.
pub(super) const OUTLIER_PLATE: &str = "P0057";
pub(super) const OUTLIER: f64 = -28.0;
pub(super) const OUTLIER_SD: f64 = 9.0;
/// Standard deviation of every other well.
pub(super) const NOISE_SD: f64 = 3.0;
/// One well in so many was not filled: the list layouts leave its yield empty.
pub(super) const EMPTY_WELLS_ONE_IN: u32 = 400;

pub(super) fn drift_start() -> NaiveDate {
    day(5, 18)
}

/// What a bromide's descriptors do to its yield.
pub(super) fn of_molecule(molecule: &Molecule) -> f64 {
    PER_ALOGP * (molecule.alogp - ALOGP_MIDDLE)
        + PER_ROTATABLE_BOND * (f64::from(molecule.rtb) - RTB_MIDDLE)
        + PER_WEIGHT * (molecule.full_mwt - WEIGHT_MIDDLE)
}

/// The interaction of a catalyst with the class of a bromide.
pub(super) fn of_interaction(catalyst: &Catalyst, class: Class) -> f64 {
    let [carbocycle, azine, five_ring] = catalyst.likes;
    match class {
        Class::Carbocycle => carbocycle,
        Class::Azine => azine,
        Class::FiveRing => five_ring,
    }
}

/// The chemistry of a well, before the plate and the instrument add theirs.
pub(super) fn of_conditions(
    scaffold: &Scaffold,
    reactant: &Reactant,
    catalyst: &Catalyst,
    (base, solvent): (&Additive, &Additive),
    temperature_points: f64,
) -> f64 {
    AVERAGE
        + scaffold.points
        + catalyst.points
        + base.points
        + solvent.points
        + temperature_points
        + of_molecule(reactant)
        + of_interaction(catalyst, reactant.class)
}

/// What the plate, the lot and the instrument add.
pub(super) fn of_handling(well: &Well, bad_lot: bool, instrument: &Instrument, date: NaiveDate) -> f64 {
    let edge = if well.is_edge() { EDGE } else { 0.0 };
    let lot = if bad_lot { BAD_LOT } else { 0.0 };
    edge + lot + of_drift(instrument, date)
}

fn of_drift(instrument: &Instrument, date: NaiveDate) -> f64 {
    let days = (date - drift_start()).num_days().max(0);
    if instrument.drifts {
        DRIFT_PER_DAY * f64::from(i32::try_from(days).unwrap_or(i32::MAX))
    } else {
        0.0
    }
}

/// Normal noise with mean 0 and standard deviation 1, as a sum of twelve uniforms: additions only, so that the bytes
/// are the same on every machine (logarithm and cosine differ in their last bit between libraries).
pub(super) fn noise(random: &mut StdRng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}
