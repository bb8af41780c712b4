//! Writes the eight TPC-H tables as Parquet files, `<out>/<table>/<table>_<part>.parquet`: ready to be dropped below
//! `landing/tpch/`, or written there at once.
//!
//! ```text
//! cargo run --release --example tpch_data -- --sf 1 --out DIR/landing/tpch
//! ```
//!
//! The rows come from `tpchgen`, so equal scale factors give equal rows on every machine. Each file appears whole under
//! its name, as a crawler may be watching.
#![expect(clippy::print_stderr, reason = "a command-line tool that says how far it is")]

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatchReader;
use clap::Parser;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// Rows a row group: small enough that two cores share one file, large enough that its pages compress.
const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Files of `lineitem` for each unit of scale, about a million rows each; the other large tables get in proportion.
const LINEITEM_FILES_PER_SCALE: f64 = 6.0;
const ORDERS_FILES_PER_SCALE: f64 = 2.0;

#[derive(Parser)]
#[command(about = "Writes the TPC-H tables as Parquet")]
struct Arguments {
    /// Scale factor; 1 is six million rows of lineitem, about 350 MB.
    #[arg(long, default_value_t = 1.0)]
    sf: f64,
    /// Folder to write to, for example DIR/landing/tpch.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { sf, out } = Arguments::parse();
    if !(sf > 0.0 && sf <= 1000.0) {
        return Err(format!("--sf {sf}: a scale factor is above 0 and at most 1000").into());
    }
    let lineitem = files(sf, LINEITEM_FILES_PER_SCALE);
    let orders = files(sf, ORDERS_FILES_PER_SCALE);
    table(&out, "region", 1, |part, parts| {
        RegionArrow::new(RegionGenerator::new(sf, part, parts))
    })?;
    table(&out, "nation", 1, |part, parts| {
        NationArrow::new(NationGenerator::new(sf, part, parts))
    })?;
    table(&out, "supplier", 1, |part, parts| {
        SupplierArrow::new(SupplierGenerator::new(sf, part, parts))
    })?;
    table(&out, "customer", 1, |part, parts| {
        CustomerArrow::new(CustomerGenerator::new(sf, part, parts))
    })?;
    table(&out, "part", 1, |part, parts| {
        PartArrow::new(PartGenerator::new(sf, part, parts))
    })?;
    table(&out, "partsupp", orders, |part, parts| {
        PartSuppArrow::new(PartSuppGenerator::new(sf, part, parts))
    })?;
    table(&out, "orders", orders, |part, parts| {
        OrderArrow::new(OrderGenerator::new(sf, part, parts))
    })?;
    table(&out, "lineitem", lineitem, |part, parts| {
        LineItemArrow::new(LineItemGenerator::new(sf, part, parts))
    })
}

/// Writes all parts of one table.
fn table<R: RecordBatchReader>(
    out: &Path,
    name: &str,
    parts: i32,
    rows_of: impl Fn(i32, i32) -> R,
) -> Result<(), Box<dyn Error>> {
    let folder = out.join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut rows = 0;
    for part in 1..=parts {
        let file = folder.join(format!("{name}_{part:03}.parquet"));
        let unfinished = folder.join(format!(".{name}_{part:03}.parquet.part"));
        rows += write(&unfinished, rows_of(part, parts)).map_err(|error| format!("{}: {error}", file.display()))?;
        fs::rename(&unfinished, &file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    eprintln!("{name}: {rows} rows in {parts} file(s)");
    Ok(())
}

fn write(file: &Path, batches: impl RecordBatchReader) -> Result<usize, Box<dyn Error>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(file)?, batches.schema(), Some(properties))?;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows();
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(rows)
}

/// At least one file, however small the scale.
fn files(sf: f64, per_scale: f64) -> i32 {
    // Fits: `main` keeps the scale at or below 1000.
    ((sf * per_scale).ceil() as i32).max(1)
}
