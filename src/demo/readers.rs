//! Plate readings as three vendors' instruments write them. All must end as the one table `plate_readings`:
//! `plate_id` text, `well` text ("A1"), `row` letter, `column` integer, `run_at` timestamp, `yield_pct` float, and what
//! only some vendors know (`temperature_c`, `peak_area`), null for the others.

use std::fmt::Write as _;
use std::io;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::lab::{COLUMNS, Layout, Plate, SEED};
use super::output::Landing;

/// Lists of these vendors' plates are compressed before they are sent: one in so many.
const GZIP_ONE_IN: usize = 5;

pub(super) fn write_reading(landing: &mut Landing, plate: &Plate) -> io::Result<()> {
    let month = plate.run_at.format("%Y-%m");
    let path = |suffix: &str| format!("chemistry/plate_readings/{month}/{}_{suffix}", plate.id);
    match plate.instrument.layout {
        Layout::List if plate.number.is_multiple_of(GZIP_ONE_IN) => {
            landing.put_gzip(&path("orion.csv.gz"), &list(plate))
        }
        Layout::List => landing.put(&path("orion.csv"), list(plate).as_bytes()),
        Layout::DecimalComma => landing.put(&path("lyra.csv"), decimal_comma(plate).as_bytes()),
        Layout::Matrix => landing.put(&path("vega.txt"), &utf16(&matrix(plate))),
    }
}

/// A key–value head, a blank line, a comma-separated list; the block's temperature is measured at every well.
fn list(plate: &Plate) -> String {
    let mut random = extras(plate);
    let mut text = format!(
        "Instrument,{}\nSerial,{}\nPlate ID,{}\nMethod,UPLC-UV yield\nOperator,{}\n\n\
         plate_id,well,row,column,run_at,yield_pct,temperature_c\n",
        plate.instrument.name, plate.instrument.serial, plate.id, plate.operator
    );
    let run_at = plate.run_at.format("%Y-%m-%dT%H:%M:%S");
    for well in &plate.wells {
        let measured = plate.temperature_c * 10 + random.random_range(-9..=9_i64);
        line(
            &mut text,
            format_args!(
                "{},{},{},{},{run_at},{},{}.{}\n",
                plate.id,
                well.name(),
                well.letter(),
                well.column,
                number(well.yield_pct),
                measured / 10,
                measured % 10,
            ),
        );
    }
    text
}

/// No head; semicolons, decimal commas, CRLF, and the area under the peak.
fn decimal_comma(plate: &Plate) -> String {
    let mut random = extras(plate);
    let mut text = "plate_id;well;row;column;run_at;yield_pct;peak_area\r\n".to_owned();
    let run_at = plate.run_at.format("%Y-%m-%d %H:%M:%S");
    for well in &plate.wells {
        let area = well
            .yield_pct
            .map(|percent| percent * 41.7 + f64::from(random.random_range(5..25_u32)));
        line(
            &mut text,
            format_args!(
                "{};{};{};{};{run_at};{};{}\r\n",
                plate.id,
                well.name(),
                well.letter(),
                well.column,
                number(well.yield_pct).replace('.', ","),
                number(area).replace('.', ","),
            ),
        );
    }
    text
}

/// A head, a blank line, then the plate as it lies on the bench: 24 columns, rows A to P.
fn matrix(plate: &Plate) -> String {
    let run_at = plate.run_at.format("%Y-%m-%dT%H:%M:%S");
    let mut text = format!(
        "Plate ID:\t{}\r\nRun at:\t{run_at}\r\nMeasurement:\tyield_pct\r\n\r\n",
        plate.id
    );
    for column in 1..=COLUMNS {
        line(&mut text, format_args!("\t{column}"));
    }
    text.push_str("\r\n");
    for well in &plate.wells {
        if well.column == 1 {
            text.push(well.letter());
        }
        let end = if well.column == COLUMNS { "\r\n" } else { "" };
        line(&mut text, format_args!("\t{}{end}", number(well.yield_pct)));
    }
    text
}

/// UTF-16, little end first, with a byte order mark.
fn utf16(text: &str) -> Vec<u8> {
    let mark = std::iter::once(0xFEFF_u16);
    mark.chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Two digits, or nothing for an empty well.
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.2}"))
}

/// Writing into a `String` cannot fail, so its result says nothing.
pub(super) fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(line);
}

/// What only one vendor measures has its own stream of numbers, so that it changes nothing else.
fn extras(plate: &Plate) -> StdRng {
    StdRng::seed_from_u64(SEED ^ (plate.number as u64) << 32)
}
