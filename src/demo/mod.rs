//! The demo lab: four months of experiments, written as the raw files a laboratory would really drop.
//!
//! Nothing here touches Delta or SQL engines. [`write`] puts files under `landing/`; the crawler does the rest, through
//! the same front door every other file takes. The seed is fixed, so two runs write the same bytes and every number in
//! the documentation can be checked.
//!
//! # What is in it
//!
//! 96 plates of 384 wells, run on working days from 2026-03-02 to 2026-06-30: a coupling of ten amine scaffolds with 48
//! aryl bromides under six catalysts, four bases, four solvents and three temperatures. Three instruments write three
//! layouts (a comma list below a key–value head, a semicolon list with decimal commas, a UTF-16 plate matrix); all three
//! must end as one table. Beside them: the notebook's protocols, the plate layouts, reagent lots and their use, a
//! library of 20,000 reactions not yet run, plans and bookings, compound properties, and three small departments.
//!
//! # What is planted
//!
//! The effects a dashboard or a model must find again are named constants of [`effects`]: a bad catalyst lot, the rim of
//! every plate, rotatable bonds, molecular weight and `alogp` of the bromide, a catalyst × bromide-class interaction, an
//! instrument that drifts, one plate that failed, one working day without a run. Two more can be seen by rules: an experiment
//! planned on an instrument that is booked, and a base that runs out.

mod departments;
mod effects;
mod lab;
mod library;
mod materials;
mod molecules;
mod notebook;
mod output;
mod planning;
mod readers;
mod sql;
#[cfg(test)]
mod tests;
mod words;

use std::io;
use std::path::Path;

pub(crate) use sql::{ALERTS, MODEL_SQL, REACTIONS_SQL, STOCK_SQL, TAGS, queries};
pub(crate) use words::WORDS;

use lab::Lab;
use output::Landing;

/// Writes the raw files of the demo lab below `landing` as `<schema>/<table>/…`, telling `progress` what it is at.
///
/// Every file appears whole under its name or not at all: it is written as `.<name>.part` and renamed. Running it again
/// replaces the same files by the same bytes, so an interrupted start is simply repeated.
///
/// # Errors
/// The first file or folder that cannot be written, with its path in the text.
pub(crate) fn write(landing: &Path, progress: &mut dyn FnMut(&str)) -> io::Result<()> {
    let lab = Lab::run();
    let mut landing = Landing::new(landing);

    progress("chemistry: protocols, layouts and readings of 96 plates");
    for plate in &lab.plates {
        notebook::write_protocol(&mut landing, plate)?;
        notebook::write_layout(&mut landing, plate)?;
        readers::write_reading(&mut landing, plate)?;
    }
    progress("chemistry: reagent lots and their use");
    notebook::write_lots(&mut landing)?;
    notebook::write_use(&mut landing, &lab.plates)?;
    progress("chemistry: a library of reactions not yet run");
    library::write(&mut landing, &lab)?;
    progress("chemistry: plans for July and the instruments' bookings");
    planning::write(&mut landing)?;
    progress("chembl, preclinical, adme, assay: the other departments");
    departments::write(&mut landing)?;
    progress(&format!("{} files, {} kB landed", landing.files, landing.bytes / 1000));
    Ok(())
}
