//! The notebook and the stock room: protocols, plate layouts, reagent lots and their use.

use std::collections::BTreeMap;
use std::io;

use chrono::{Datelike, Days, NaiveDate};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::lab::{Plate, SEED};
use super::materials::{BASES, Lot, SOLVENTS, lot_in_use, lots};
use super::molecules::Molecule;
use super::output::Landing;
use super::readers::line;

/// Grams of catalyst, of each base and of each solvent that a plate takes.
const GRAMS_PER_PLATE: (f64, f64, f64) = (1.62, 4.4, 38.0);

/// The base of which too little was ordered: the stock's forecast must find it.
const SHORT: &str = "K3PO4";

/// One JSON object a plate, as the electronic notebook exports it.
pub(super) fn write_protocol(landing: &mut Landing, plate: &Plate) -> io::Result<()> {
    let lots = lots();
    let date = plate.run_at.date();
    let reagent = |name: &str, role: &str, amount_mg: f64| {
        let lot = lot_in_use(&lots, name, date).map(|lot| lot.lot.as_str());
        json!({ "name": name, "role": role, "lot": lot, "amount_mg": amount_mg })
    };
    let (catalyst, base, solvent) = GRAMS_PER_PLATE;
    let mut reagents = vec![reagent(plate.catalyst.name, "catalyst", catalyst * 1000.0)];
    reagents.extend(
        BASES
            .iter()
            .map(|additive| reagent(additive.name, "base", base * 1000.0)),
    );
    reagents.extend(
        SOLVENTS
            .iter()
            .map(|additive| reagent(additive.name, "solvent", solvent * 1000.0)),
    );
    let names = |shelf: &[super::materials::Additive]| shelf.iter().map(|additive| additive.name).collect::<Vec<_>>();
    let protocol = json!({
        "protocol_id": format!("ELN-2026-{:04}", plate.number),
        "plate_id": plate.id,
        "run_at": plate.run_at.format("%Y-%m-%dT%H:%M:%S").to_string(),
        "operator": plate.operator,
        "campaign": plate.campaign,
        "status": plate.status,
        "instrument": { "name": plate.instrument.name, "serial": plate.instrument.serial },
        "scaffold": plate.scaffold.name,
        "scaffold_smiles": plate.scaffold.smiles,
        "catalyst": plate.catalyst.name,
        "catalyst_lot": plate.catalyst_lot,
        "catalyst_mol_pct": 5.0,
        "temperature_c": plate.temperature_c,
        "time_h": 16,
        "bases": names(&BASES),
        "solvents": names(&SOLVENTS),
        "reagents": reagents,
    });
    let text = format!("{protocol:#}\n");
    landing.put(
        &format!("chemistry/protocols/{date}/{}.json", plate.id),
        text.as_bytes(),
    )
}

/// What was put into every well.
pub(super) fn write_layout(landing: &mut Landing, plate: &Plate) -> io::Result<()> {
    let mut text = format!(
        "plate_id,well,reactant,reactant_smiles,{DESCRIPTORS},catalyst,catalyst_lot,base,solvent,temperature_c\n"
    );
    for well in &plate.wells {
        line(
            &mut text,
            format_args!(
                "{},{},{},{},{},{},{},{},{},{}\n",
                plate.id,
                well.name(),
                well.reactant.name,
                well.reactant.smiles,
                descriptors(&well.reactant),
                plate.catalyst.name,
                plate.catalyst_lot,
                quoted(well.base.name),
                quoted(well.solvent.name),
                plate.temperature_c,
            ),
        );
    }
    let month = plate.run_at.format("%Y-%m");
    landing.put(
        &format!("chemistry/plate_layout/{month}/{}_layout.csv", plate.id),
        text.as_bytes(),
    )
}

/// The columns of [`descriptors`], in ChEMBL's names.
pub(super) const DESCRIPTORS: &str = "alogp,full_mwt,rtb,psa,hba,hbd";

pub(super) fn descriptors(molecule: &Molecule) -> String {
    let Molecule {
        alogp,
        full_mwt,
        rtb,
        psa,
        hba,
        hbd,
        ..
    } = molecule;
    format!("{alogp:.2},{full_mwt:.2},{rtb},{psa:.2},{hba},{hbd}")
}

/// A CSV cell: in quotes where it holds a comma (as "1,4-dioxane" does).
pub(super) fn quoted(cell: &str) -> String {
    if cell.contains(',') {
        format!("\"{cell}\"")
    } else {
        cell.to_owned()
    }
}

/// The stock list, one file for each month in which a lot was received.
pub(super) fn write_lots(landing: &mut Landing) -> io::Result<()> {
    let mut random = StdRng::seed_from_u64(SEED ^ 0x107);
    let mut months: BTreeMap<u32, String> = BTreeMap::new();
    for lot in lots() {
        let received = lot.in_use_from - Days::new(3);
        let text = months.entry(received.month()).or_insert_with(|| {
            "lot,reagent,kind,supplier,received_on,expires_on,stock_g,purity_pct,price_eur_per_g\n".to_owned()
        });
        line(text, format_args!("{}\n", lot_line(&mut random, &lot, received)));
    }
    for (month, text) in months {
        landing.put(
            &format!("chemistry/reagent_lots/lots_2026-{month:02}.csv"),
            text.as_bytes(),
        )?;
    }
    Ok(())
}

/// The bad lot's certificate is in order, only a little low, and it came from another supplier than its sisters.
fn lot_line(random: &mut StdRng, lot: &Lot, received: NaiveDate) -> String {
    let noise = f64::from(random.random_range(0..14_u32)) / 10.0;
    let purity = if lot.bad { 96.1 } else { 97.9 + noise };
    let supplier = match lot.kind {
        _ if lot.bad => "Brightwater Fine Chemicals",
        "catalyst" => "Halden Catalysis",
        _ => "Norrland Chemicals",
    };
    let stock = match lot.kind {
        _ if lot.reagent == SHORT => 480.0,
        "catalyst" => 25.0,
        "base" => 750.0,
        _ => 8000.0,
    };
    let expires = received + Days::new(730);
    format!(
        "{},{},{},{supplier},{received},{expires},{stock:.1},{purity:.1},{:.2}",
        lot.lot,
        quoted(lot.reagent),
        lot.kind,
        lot.euro_per_g
    )
}

/// What was weighed out, a line for each day, reagent and lot; one file a month.
pub(super) fn write_use(landing: &mut Landing, plates: &[Plate]) -> io::Result<()> {
    let mut random = StdRng::seed_from_u64(SEED ^ 0x05e);
    let lots = lots();
    let (catalyst, base, solvent) = GRAMS_PER_PLATE;
    let mut used: BTreeMap<(NaiveDate, &str, &str), f64> = BTreeMap::new();
    for plate in plates {
        let date = plate.run_at.date();
        let mut weigh = |reagent: &'static str, grams: f64| {
            let spilled = f64::from(random.random_range(95..=112_u32)) / 100.0;
            let lot = lot_in_use(&lots, reagent, date).map_or("", |lot| lot.lot.as_str());
            *used.entry((date, reagent, lot)).or_default() += grams * spilled;
        };
        weigh(plate.catalyst.name, catalyst);
        BASES.iter().for_each(|additive| weigh(additive.name, base));
        SOLVENTS.iter().for_each(|additive| weigh(additive.name, solvent));
    }
    let mut months: BTreeMap<String, String> = BTreeMap::new();
    for ((day, reagent, lot), grams) in used {
        let grams = (grams * 1000.0).round() / 1000.0;
        let record = json!({ "day": day.to_string(), "reagent": reagent, "lot": lot, "grams": grams });
        line(
            months.entry(day.format("%Y-%m").to_string()).or_default(),
            format_args!("{record}\n"),
        );
    }
    for (month, text) in months {
        landing.put(&format!("chemistry/reagent_use/use_{month}.ndjson"), text.as_bytes())?;
    }
    Ok(())
}
