//! The virtual library: reactions nobody has run yet, with every feature the model asks for.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::lab::{Lab, SEED};
use super::materials::{BASES, CATALYSTS, SCAFFOLDS, SOLVENTS, TEMPERATURES};
use super::notebook::{DESCRIPTORS, descriptors, quoted};
use super::output::Landing;
use super::readers::line;

pub(super) const ROWS: usize = 20_000;
/// A draw that hits a reaction already run or already listed is repeated; this many draws find the rows many times over.
const DRAWS_MAX: usize = ROWS * 20;

pub(super) fn write(landing: &mut Landing, lab: &Lab) -> io::Result<()> {
    landing.put_gzip("chemistry/virtual_library/library_2026-07.csv.gz", &text(lab))
}

fn text(lab: &Lab) -> String {
    let mut random = StdRng::seed_from_u64(SEED ^ 0x11b);
    let mut taken = already_run(lab);
    let mut text = format!(
        "candidate_id,scaffold,scaffold_smiles,reactant,reactant_smiles,catalyst,base,solvent,temperature_c,{DESCRIPTORS}\n"
    );
    let mut rows = 0;
    for _draw in 0..DRAWS_MAX {
        if rows == ROWS {
            break;
        }
        let drawn = (
            draw(&mut random, &SCAFFOLDS),
            draw(&mut random, &lab.reactants),
            draw(&mut random, &CATALYSTS),
            draw(&mut random, &BASES),
            draw(&mut random, &SOLVENTS),
            draw(&mut random, &TEMPERATURES),
        );
        let (Some(scaffold), Some(reactant), Some(catalyst), Some(base), Some(solvent), Some((temperature_c, _))) =
            drawn
        else {
            continue;
        };
        let key = (
            scaffold.name,
            Arc::clone(reactant).name.clone(),
            catalyst.name,
            base.name,
            solvent.name,
            *temperature_c,
        );
        if !taken.insert(key) {
            continue;
        }
        rows += 1;
        line(
            &mut text,
            format_args!(
                "VL-{rows:05},{},{},{},{},{},{},{},{temperature_c},{}\n",
                scaffold.name,
                scaffold.smiles,
                reactant.name,
                reactant.smiles,
                catalyst.name,
                quoted(base.name),
                quoted(solvent.name),
                descriptors(reactant),
            ),
        );
    }
    text
}

/// Scaffold, bromide, catalyst, base, solvent, temperature.
pub(super) type Key = (&'static str, String, &'static str, &'static str, &'static str, i64);

pub(super) fn already_run(lab: &Lab) -> HashSet<Key> {
    let wells = lab
        .plates
        .iter()
        .flat_map(|plate| plate.wells.iter().map(move |well| (plate, well)));
    wells
        .map(|(plate, well)| {
            let reactant = well.reactant.name.clone();
            (
                plate.scaffold.name,
                reactant,
                plate.catalyst.name,
                well.base.name,
                well.solvent.name,
                plate.temperature_c,
            )
        })
        .collect()
}

fn draw<'a, T>(random: &mut StdRng, items: &'a [T]) -> Option<&'a T> {
    items.get(random.random_range(0..items.len().max(1)))
}
