//! July: which experiments are planned on which instrument, and when the instruments are booked for something else.
//!
//! Planted: on one morning the service technician has the instrument on which a plate is planned.

use std::io;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Weekday};

use super::lab::INSTRUMENTS;
use super::materials::day;
use super::output::Landing;
use super::readers::line;

/// The service clashes with the plan PL-006.
const SERVICE_DAY: (u32, u32) = (7, 8);
/// The first number of the plates that are planned: after those that were run.
const FIRST_PLATE: usize = 97;
const PLANNERS: [&str; 3] = ["mara.lindt", "jon.aske", "ines.rocha"];

pub(super) fn write(landing: &mut Landing) -> io::Result<()> {
    landing.put("chemistry/planned_experiments/plan_2026-07.csv", plans().as_bytes())?;
    landing.put(
        "chemistry/instrument_bookings/bookings_2026-07.csv",
        bookings().as_bytes(),
    )
}

fn working_days() -> impl Iterator<Item = NaiveDate> {
    let working = |date: &NaiveDate| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    day(7, 1)
        .iter_days()
        .take_while(|date| *date <= day(7, 24))
        .filter(working)
}

/// A plate every working morning, on one instrument after the other.
fn plans() -> String {
    let mut text = "plan_id,plate_id,instrument,starts_at,ends_at,planned_by,campaign\n".to_owned();
    for (number, (date, instrument)) in working_days().zip(INSTRUMENTS.iter().cycle()).enumerate() {
        let planner = PLANNERS.get(number % PLANNERS.len()).copied().unwrap_or_default();
        line(
            &mut text,
            format_args!(
                "PL-{:03},P{:04},{},{},{},{planner},cygnus\n",
                number + 1,
                FIRST_PLATE + number,
                instrument.name,
                at(date, 9, 30),
                at(date, 11, 45),
            ),
        );
    }
    text
}

/// Calibration on Friday afternoons, training on Tuesday evenings, and the service.
fn bookings() -> String {
    let mut text = "booking_id,instrument,starts_at,ends_at,booked_by,purpose\n".to_owned();
    let mut number = 0;
    let mut book = |instrument: &str, from: NaiveDateTime, to: NaiveDateTime, who: &str, purpose: &str| {
        number += 1;
        line(
            &mut text,
            format_args!(
                "BK-{number:03},{instrument},{},{},{who},{purpose}\n",
                from.format("%Y-%m-%dT%H:%M:%S"),
                to.format("%Y-%m-%dT%H:%M:%S")
            ),
        );
    };
    let time = |date: NaiveDate, hour| date.and_hms_opt(hour, 0, 0).unwrap_or_default();
    for (week, date) in working_days().enumerate() {
        let instrument = INSTRUMENTS
            .get(week % INSTRUMENTS.len())
            .map_or("", |instrument| instrument.name);
        match date.weekday() {
            Weekday::Fri => book(instrument, time(date, 14), time(date, 17), "tom.berger", "calibration"),
            Weekday::Tue => book(instrument, time(date, 17), time(date, 19), "ines.rocha", "training"),
            _ => {}
        }
    }
    let service = day(SERVICE_DAY.0, SERVICE_DAY.1);
    // The instrument whose turn it is that morning.
    let place = working_days().take_while(|date| *date < service).count();
    let instrument = INSTRUMENTS
        .get(place % INSTRUMENTS.len())
        .map_or("", |instrument| instrument.name);
    book(
        instrument,
        time(service, 8),
        time(service, 12),
        "vendor",
        "yearly service",
    );
    text
}

fn at(date: NaiveDate, hour: u32, minute: u32) -> String {
    let time = date.and_hms_opt(hour, minute, 0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S").to_string()
}
