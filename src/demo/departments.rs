//! The other departments, so that who may see what differs: compound properties, dose groups, clearance, potency.
//!
//! The compounds are made of fragments here and carry `DEMO` numbers; nothing is taken from ChEMBL but its column names.

use std::io;

use chrono::Days;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::effects::noise;
use super::lab::SEED;
use super::materials::day;
use super::molecules::{self, Molecule};
use super::output::Landing;
use super::readers::line;

pub(super) const COMPOUNDS: usize = 2_000;
/// The properties arrive in two deliveries.
const COMPOUNDS_PER_FILE: usize = 1_000;
const CLEARANCE_ROWS: usize = 240;
const POTENCY_ROWS: usize = 420;
const STUDIES: u32 = 6;

pub(super) fn write(landing: &mut Landing) -> io::Result<()> {
    let mut random = StdRng::seed_from_u64(SEED ^ 0xde9);
    let compounds = compounds(&mut random);
    for (delivery, part) in (1..).zip(compounds.chunks(COMPOUNDS_PER_FILE)) {
        let path = format!("chembl/compound_properties/properties_{delivery}.csv");
        landing.put(&path, properties(part).as_bytes())?;
    }
    landing.put(
        "preclinical/dose_groups/studies_2026.tsv",
        dose_groups(&mut random, &compounds).as_bytes(),
    )?;
    landing.put(
        "adme/clearance/microsomes_2026.csv",
        &latin1(&clearance(&mut random, &compounds)),
    )?;
    landing.put(
        "assay/ic50/kinase_panel_2026.tsv",
        potency(&mut random, &compounds).as_bytes(),
    )
}

struct Compound {
    id: String,
    molecule: Molecule,
}

fn compounds(random: &mut StdRng) -> Vec<Compound> {
    let mut all = molecules::all(false);
    all.shuffle(random);
    let numbered = (1..).zip(all.into_iter().take(COMPOUNDS));
    numbered
        .map(|(number, molecule)| Compound {
            id: format!("DEMO{number:06}"),
            molecule,
        })
        .collect()
}

fn properties(compounds: &[Compound]) -> String {
    let mut text = "chembl_id,canonical_smiles,full_mwt,alogp,rtb,psa,hba,hbd,aromatic_rings,heavy_atoms\n".to_owned();
    for Compound { id, molecule } in compounds {
        let Molecule {
            smiles,
            full_mwt,
            alogp,
            rtb,
            psa,
            hba,
            hbd,
            aromatic_rings,
            heavy_atoms,
            ..
        } = molecule;
        line(
            &mut text,
            format_args!(
                "{id},{smiles},{full_mwt:.2},{alogp:.2},{rtb},{psa:.2},{hba},{hbd},{aromatic_rings},{heavy_atoms}\n"
            ),
        );
    }
    text
}

/// Tab-separated: six studies of four dose groups.
fn dose_groups(random: &mut StdRng, compounds: &[Compound]) -> String {
    let mut text =
        "study_id\tdose_group\tcompound_id\tspecies\troute\tdose_mg_kg\tanimals\tbody_weight_g\tstarted_on\n"
            .to_owned();
    for study in 1..=STUDIES {
        let Some(compound) = compounds.choose(random) else {
            continue;
        };
        let started = day(3, 9) + Days::new(u64::from(study) * 14);
        let route = if study % 2 == 0 { "oral" } else { "intravenous" };
        for (group, dose) in [("vehicle", 0.0), ("low", 3.0), ("middle", 10.0), ("high", 30.0)] {
            let weight = 248.0 - dose * 0.4 + 6.0 * noise(random);
            let id = &compound.id;
            line(
                &mut text,
                format_args!("TOX-{study:02}\t{group}\t{id}\trat\t{route}\t{dose:.1}\t8\t{weight:.1}\t{started}\n"),
            );
        }
    }
    text
}

/// Clearance rises with `alogp`, as it does. The header holds a micro sign, and the file is written in Latin-1.
fn clearance(random: &mut StdRng, compounds: &[Compound]) -> String {
    let mut text = "compound_id,species,clint_µl_min_mg,half_life_min,measured_on\n".to_owned();
    for (number, compound) in compounds.iter().take(CLEARANCE_ROWS).enumerate() {
        let species = if number % 3 == 0 { "rat" } else { "human" };
        let clint = (8.0 + 9.0 * compound.molecule.alogp + 4.0 * noise(random)).max(1.5);
        let half_life = 693.0 / clint;
        let measured = day(3, 2) + Days::new(number as u64 / 4);
        line(
            &mut text,
            format_args!("{},{species},{clint:.2},{half_life:.1},{measured}\n", compound.id),
        );
    }
    text
}

/// Tab-separated: potency against a small panel.
fn potency(random: &mut StdRng, compounds: &[Compound]) -> String {
    const PANEL: [&str; 3] = ["KIN-A", "KIN-B", "KIN-C"];
    let mut text = "compound_id\ttarget\tic50_nm\thill\treplicates\tmeasured_on\n".to_owned();
    for (number, (compound, target)) in compounds
        .iter()
        .zip(PANEL.iter().cycle())
        .take(POTENCY_ROWS)
        .enumerate()
    {
        let exponent = 0.7 + 3.0 * random.random::<f64>();
        let ic50 = (exponent * std::f64::consts::LN_10).exp();
        let hill = 1.0 + 0.08 * noise(random);
        let measured = day(3, 3) + Days::new(number as u64 / 6);
        line(
            &mut text,
            format_args!("{}\t{target}\t{ic50:.1}\t{hill:.2}\t3\t{measured}\n", compound.id),
        );
    }
    text
}

/// Latin-1: its characters are the first 256 of Unicode. Others do not occur here and would become `?`.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?'))
        .collect()
}
