//! What the demo's tables and columns are, in words: what people look for, and what the page tells them of it.

/// Table, column or none for the table itself, and the words.
pub(crate) const WORDS: &[(&str, Option<&str>, &str)] = &[
    (
        "lab.chemistry.protocols",
        None,
        "One row a plate: what the notebook says of it",
    ),
    ("lab.chemistry.protocols", Some("operator"), "Who set the plate up"),
    (
        "lab.chemistry.protocols",
        Some("status"),
        "released, draft or rejected by quality control",
    ),
    (
        "lab.chemistry.plate_readings",
        None,
        "One row a well, as the plate readers wrote it",
    ),
    (
        "lab.chemistry.plate_readings",
        Some("yield_pct"),
        "Yield by UPLC, percent of theory; empty where the reader gave no value",
    ),
    ("lab.chemistry.plate_layout", None, "What was pipetted into each well"),
    (
        "lab.chemistry.reagent_lots",
        None,
        "Bottles bought: supplier, purity and how much",
    ),
    ("lab.chemistry.reagent_use", None, "Grams taken from each lot on a day"),
    (
        "lab.chemistry.planned_experiments",
        None,
        "Plates that are planned, with instrument and time",
    ),
    (
        "lab.chemistry.instrument_bookings",
        None,
        "Times for which instruments are booked for something else",
    ),
    (
        "lab.chemistry.virtual_library",
        None,
        "Combinations nobody has run yet: the model's candidates",
    ),
    (
        "lab.chembl.compound_properties",
        None,
        "Properties of compounds under ChEMBL's column names",
    ),
    (
        "lab.preclinical.dose_groups",
        None,
        "Dose groups of the preclinical studies",
    ),
    ("lab.adme.clearance", None, "Metabolic clearance in liver microsomes"),
    ("lab.assay.ic50", None, "Potency in biochemical assays"),
    (
        "lab.chemistry.reactions",
        None,
        "One row a well with all that is known of it: readings, layout, notebook and lots joined",
    ),
    ("lab.chemistry.reactions", Some("reaction_id"), "Plate and well"),
    (
        "lab.chemistry.reactions",
        Some("run_at"),
        "When the plate was read, UTC",
    ),
    (
        "lab.chemistry.reactions",
        Some("campaign"),
        "The project that the plate was made for",
    ),
    (
        "lab.chemistry.reactions",
        Some("catalyst_lot"),
        "The bottle that the catalyst came from",
    ),
    (
        "lab.chemistry.reactions",
        Some("alogp"),
        "Computed lipophilicity of the product",
    ),
    (
        "lab.chemistry.reactions",
        Some("full_mwt"),
        "Molecular weight of the product, g/mol",
    ),
    ("lab.chemistry.reactions", Some("rtb"), "Rotatable bonds of the product"),
    (
        "lab.chemistry.reactions",
        Some("psa"),
        "Polar surface of the product, Å²",
    ),
    (
        "lab.chemistry.reactions",
        Some("is_edge"),
        "The well lies at the edge of its plate, which dries out first",
    ),
    (
        "lab.chemistry.reactions",
        Some("yield_pct"),
        "Yield by UPLC, percent of theory",
    ),
    (
        "lab.chemistry.stock_outlook",
        None,
        "What is left of each reagent, what the next 30 days are expected to take, and for how long it lasts",
    ),
];
