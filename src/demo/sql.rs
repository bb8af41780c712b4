//! The SQL side of the demo: the joined view, the model, the tags, and what the welcome proposes.

/// The query of the materialized view `lab.chemistry.reactions`: one row a well, with everything known about it.
pub(crate) const REACTIONS_SQL: &str = "\
SELECT concat(r.plate_id, '-', r.well) AS reaction_id,
       r.plate_id, r.well, r.\"row\", r.\"column\", r.run_at,
       p.campaign, p.status, p.operator, p.instrument['name'] AS instrument,
       p.scaffold, p.scaffold_smiles,
       l.reactant, l.reactant_smiles,
       l.catalyst, l.catalyst_lot, s.supplier AS catalyst_supplier, s.purity_pct AS catalyst_purity_pct,
       l.base, l.solvent, l.temperature_c,
       l.alogp, l.full_mwt, l.rtb, l.psa, l.hba, l.hbd,
       (r.\"row\" IN ('A', 'P') OR r.\"column\" IN (1, 24)) AS is_edge,
       r.yield_pct
FROM lab.chemistry.plate_readings r
JOIN lab.chemistry.plate_layout l ON l.plate_id = r.plate_id AND l.well = r.well
JOIN lab.chemistry.protocols p ON p.plate_id = r.plate_id
LEFT JOIN lab.chemistry.reagent_lots s ON s.lot = l.catalyst_lot";

/// Trains the yield model on every well that was read and not rejected.
pub(crate) const MODEL_SQL: &str = "\
CREATE OR REPLACE MODEL lab.chemistry.yield_model
OPTIONS (target = 'yield_pct', kind = 'auto', time_budget_s = 20, function = 'predict_yield',
         candidates = 'lab.chemistry.virtual_library') AS
SELECT scaffold, reactant, catalyst, base, solvent, temperature_c, alogp, full_mwt, rtb, psa, hba, hbd, yield_pct
FROM lab.chemistry.reactions
WHERE yield_pct IS NOT NULL AND status <> 'rejected'";

/// The query of the materialized view `lab.chemistry.stock_outlook`: what is left of each reagent, and how much of it the next
/// 30 days take.
pub(crate) const STOCK_SQL: &str = "\
WITH used AS (SELECT reagent, sum(grams) AS used_g, max(\"day\") AS last_day FROM lab.chemistry.reagent_use GROUP BY reagent),
     stock AS (SELECT reagent, kind, sum(stock_g) AS bought_g FROM lab.chemistry.reagent_lots GROUP BY reagent, kind),
     coming AS (SELECT reagent, sum(forecast) AS expected_30d_g, sum(upper) AS at_most_30d_g, max(method) AS method
                FROM forecast('lab.chemistry.reagent_use', 'day', 'grams', 30, 'reagent') GROUP BY reagent)
SELECT stock.reagent, stock.kind, used.last_day AS as_of,
       round(stock.bought_g - used.used_g, 1) AS left_g,
       round(coming.expected_30d_g, 1) AS expected_30d_g, round(coming.at_most_30d_g, 1) AS at_most_30d_g,
       round(30 * (stock.bought_g - used.used_g) / nullif(coming.expected_30d_g, 0), 0) AS days_left,
       coming.method
FROM stock JOIN used ON used.reagent = stock.reagent JOIN coming ON coming.reagent = stock.reagent";

/// The rules that `sam` wrote: the author's name, then the statement.
pub(crate) const ALERTS: [(&str, &str); 3] = [
    (
        "sam",
        "CREATE OR REPLACE ALERT low_yield ON lab.chemistry.reactions WHEN avg(yield_pct) < 40 BY plate_id \
         MESSAGE 'The mean yield of a plate is below its QC limit of 40 %: look at the dispenser and at the lots before the next run.' \
         NOTIFY sam, ana BY outbox",
    ),
    (
        "sam",
        "CREATE OR REPLACE ALERT instrument_clash ON lab.chemistry.planned_experiments \
         WHEN EXISTS (SELECT 1 FROM lab.chemistry.instrument_bookings AS b WHERE b.instrument = planned_experiments.instrument \
         AND b.starts_at < planned_experiments.ends_at AND planned_experiments.starts_at < b.ends_at) BY plan_id, instrument \
         MESSAGE 'An experiment is planned while its instrument is booked for something else.' NOTIFY sam BY outbox",
    ),
    (
        "sam",
        "CREATE OR REPLACE ALERT runs_out ON lab.chemistry.stock_outlook WHEN left_g < expected_30d_g BY reagent \
         MESSAGE 'At the rate of the last weeks this reagent does not last 30 days: order it.' NOTIFY sam BY outbox",
    ),
];

/// Tags of the demo's tables: table, key, value.
pub(crate) const TAGS: &[(&str, &str, &str)] = &[
    ("lab.chemistry.protocols", "sensitivity", "internal"),
    ("lab.chemistry.protocols", "kind", "notebook"),
    ("lab.chemistry.plate_readings", "sensitivity", "internal"),
    ("lab.chemistry.plate_readings", "kind", "screen"),
    ("lab.chemistry.plate_layout", "sensitivity", "internal"),
    ("lab.chemistry.plate_layout", "kind", "screen"),
    ("lab.chemistry.reactions", "sensitivity", "internal"),
    ("lab.chemistry.reactions", "kind", "screen"),
    ("lab.chemistry.reagent_lots", "sensitivity", "internal"),
    ("lab.chemistry.reagent_lots", "kind", "stock"),
    ("lab.chemistry.reagent_use", "sensitivity", "internal"),
    ("lab.chemistry.reagent_use", "kind", "stock"),
    ("lab.chemistry.planned_experiments", "sensitivity", "internal"),
    ("lab.chemistry.planned_experiments", "kind", "plan"),
    ("lab.chemistry.instrument_bookings", "sensitivity", "internal"),
    ("lab.chemistry.instrument_bookings", "kind", "plan"),
    ("lab.chemistry.virtual_library", "sensitivity", "internal"),
    ("lab.chemistry.virtual_library", "kind", "library"),
    ("lab.chembl.compound_properties", "sensitivity", "public"),
    ("lab.chembl.compound_properties", "kind", "reference"),
    ("lab.preclinical.dose_groups", "sensitivity", "public"),
    ("lab.preclinical.dose_groups", "kind", "study"),
    ("lab.adme.clearance", "sensitivity", "internal"),
    ("lab.adme.clearance", "kind", "assay"),
    ("lab.assay.ic50", "sensitivity", "public"),
    ("lab.assay.ic50", "kind", "assay"),
];

/// Three queries the welcome proposes: the curve, the culprit, the next experiments.
pub(crate) fn queries() -> [&'static str; 3] {
    [
        "SELECT CAST(run_at AS DATE) AS day, avg(yield_pct) AS mean_yield, \
         avg(avg(yield_pct)) OVER (ORDER BY CAST(run_at AS DATE) ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS mean_7 \
         FROM lab.chemistry.reactions GROUP BY 1 ORDER BY 1",
        "SELECT catalyst, catalyst_lot, catalyst_supplier, count(*) AS wells, avg(yield_pct) AS mean_yield \
         FROM lab.chemistry.reactions GROUP BY 1, 2, 3 ORDER BY mean_yield LIMIT 5",
        "SELECT * FROM top_recommendations('lab.chemistry.yield_model', 10)",
    ]
}
