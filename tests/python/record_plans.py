"""Records Substrait plans as engines make them, for `tests/suite/substrait.rs`.

    python record_plans.py datafusion >> plans.jsonl

once for each producer, in an environment of its own (datafusion 55.0.0; ibis-substrait 4.0.1 with substrait 0.19.0), since they
want different versions of each other. The tests need none of them. Each line has the producer, the query and its plan; the
tables are the demo's, without rows. (Of DuckDB 1.1's extension a projection gives only its expressions, and not its input's
columns before them as the format has it: its plans are refused.)
"""

import base64
import contextlib
import json
import sys

REACTIONS = """
    reaction_id VARCHAR, plate_id VARCHAR, well VARCHAR, "row" VARCHAR, "column" BIGINT, run_at TIMESTAMP, campaign VARCHAR,
    status VARCHAR, operator VARCHAR, instrument VARCHAR, scaffold VARCHAR, scaffold_smiles VARCHAR, reactant VARCHAR,
    reactant_smiles VARCHAR, catalyst VARCHAR, catalyst_lot VARCHAR, catalyst_supplier VARCHAR, catalyst_purity_pct DOUBLE,
    base VARCHAR, solvent VARCHAR, temperature_c BIGINT, alogp DOUBLE, full_mwt DOUBLE, rtb BIGINT, psa DOUBLE, hba BIGINT,
    hbd BIGINT, is_edge BOOLEAN, yield_pct DOUBLE"""
LOTS = """
    lot VARCHAR, reagent VARCHAR, kind VARCHAR, supplier VARCHAR, received_on DATE, expires_on DATE, stock_g DOUBLE,
    purity_pct DOUBLE, price_eur_per_g DOUBLE"""
TABLES = {"reactions": REACTIONS, "reagent_lots": LOTS}

R, L = "lab.chemistry.reactions", "lab.chemistry.reagent_lots"
# Each gives the same rows in any order, or is sorted by a key.
SQL = [
    f"SELECT count(*) AS n FROM {R}",
    f"SELECT reaction_id, well, yield_pct FROM {R} WHERE yield_pct > 90 AND well LIKE 'A%' ORDER BY reaction_id LIMIT 20",
    f"SELECT status, count(*) AS n, min(yield_pct) AS low, max(yield_pct) AS high FROM {R} GROUP BY status",
    f"SELECT DISTINCT scaffold_smiles FROM {R}",
    f"SELECT count(*) AS n FROM {R} WHERE scaffold_smiles LIKE '%c1%'",
    f"SELECT catalyst, count(DISTINCT well) AS wells FROM {R} WHERE solvent IN ('DMSO', 'toluene', 'THF') GROUP BY catalyst HAVING count(*) > 10",
    f"SELECT r.reaction_id, l.supplier FROM {R} r JOIN {L} l ON r.catalyst_lot = l.lot WHERE r.is_edge ORDER BY r.reaction_id DESC LIMIT 15",
    f"SELECT l.lot, r.n FROM {L} l LEFT JOIN (SELECT catalyst_lot, count(*) AS n FROM {R} GROUP BY catalyst_lot) r ON l.lot = r.catalyst_lot",
    f"SELECT lot FROM {L} WHERE lot NOT IN (SELECT catalyst_lot FROM {R} WHERE catalyst_lot IS NOT NULL)",
    f"SELECT lot FROM {L} l WHERE EXISTS (SELECT 1 FROM {R} r WHERE r.catalyst_lot = l.lot AND r.yield_pct > 99)",
    f"SELECT lot, stock_g FROM {L} WHERE stock_g > (SELECT avg(stock_g) FROM {L})",
    f"SELECT catalyst AS name FROM {R} UNION SELECT reagent FROM {L}",
    f"SELECT catalyst AS name FROM {R} INTERSECT SELECT reagent FROM {L}",
    f"SELECT reagent AS name FROM {L} EXCEPT SELECT catalyst FROM {R}",
    f"SELECT reaction_id, CASE WHEN yield_pct >= 50 THEN 'good' WHEN yield_pct IS NULL THEN NULL ELSE 'poor' END AS word FROM {R} WHERE temperature_c BETWEEN 60 AND 80 ORDER BY reaction_id LIMIT 10 OFFSET 5",
    f"SELECT CASE status WHEN 'released' THEN 1 WHEN 'draft' THEN 2 ELSE 0 END AS code, count(*) AS n FROM {R} GROUP BY 1",
    f"SELECT reaction_id, row_number() OVER (PARTITION BY plate_id ORDER BY reaction_id) AS nth, sum(rtb) OVER (PARTITION BY plate_id ORDER BY reaction_id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM {R} ORDER BY reaction_id LIMIT 12",
    f"SELECT date_part('month', run_at) AS month, count(*) AS n FROM {R} WHERE run_at >= TIMESTAMP '2026-02-01 00:00:00' GROUP BY 1",
    f"SELECT upper(substr(catalyst, 1, 3)) AS c, CAST(temperature_c AS VARCHAR) AS t, -rtb AS m, rtb * 2 + hba - 1 AS x FROM {R} ORDER BY reaction_id LIMIT 9",
    f"SELECT lot, expires_on - INTERVAL '10' DAY AS soon, received_on < DATE '2026-03-01' AS early FROM {L} ORDER BY lot",
    f"SELECT max(n) AS most FROM (SELECT count(*) AS n FROM {R} GROUP BY plate_id) AS counts",
    "SELECT * FROM (VALUES (1, 'a', 1.5), (2, NULL, -2.5)) AS t(i, s, f)",
    "SELECT 1 AS one, 'it''s' AS word, CAST(NULL AS BIGINT) AS nothing, 0.1 AS tenth, X'00ff' AS bytes",
    f"SELECT r.base, l.kind FROM (SELECT DISTINCT base FROM {R}) r CROSS JOIN (SELECT DISTINCT kind FROM {L}) l",
]
# What is refused, or is not everybody's.
SPECIAL = [
    ("operator", f"SELECT DISTINCT operator FROM {R}"),
    ("parameter", f"SELECT count(*) AS n FROM {R} WHERE status = $1"),
]


@contextlib.contextmanager
def reported(sql):
    """What a producer cannot write is left out."""
    try:
        yield
    except Exception as error:
        print(f"{sql}: {error!r}", file=sys.stderr)


def datafusion():
    import datafusion
    from datafusion.substrait import Producer, Serde

    context = datafusion.SessionContext()
    for statement in ["CREATE DATABASE lab", "CREATE SCHEMA lab.chemistry"]:
        context.sql(statement)
    for table, columns in TABLES.items():
        context.sql(f"CREATE TABLE lab.chemistry.{table} ({columns})")
    context.sql("CREATE SCHEMA lab.nowhere")
    context.sql(f"CREATE TABLE lab.nowhere.absent ({LOTS})")
    context.sql("CREATE SCHEMA lab.chembl")
    context.sql("CREATE TABLE lab.chembl.compound_properties (alogp DOUBLE)")
    context.sql("CREATE TABLE lab.chembl.compound_propertiez (alogp DOUBLE)")
    for sql in SQL:
        with reported(sql):
            yield "datafusion, optimised", sql, Serde.serialize_bytes(sql, context)
        with reported(sql):
            yield "datafusion", sql, Producer.to_substrait_plan(context.sql(sql).logical_plan(), context).encode()
    special = [
        *SPECIAL,
        ("hidden", "SELECT alogp FROM lab.chembl.compound_properties"),
        ("absent", "SELECT alogp FROM lab.chembl.compound_propertiez"),
        ("now", "SELECT now() AS n"),
        ("random", "SELECT random() AS n"),
        ("log", "SELECT log(2, 8) AS n"),
        ("union", f"SELECT lot FROM {L} UNION ALL SELECT lot FROM lab.nowhere.absent"),
    ]
    for name, sql in special:
        plan = Producer.to_substrait_plan(context.sql(sql).logical_plan(), context)
        yield name, sql, plan.encode()


def ibis():
    import ibis
    from ibis_substrait.compiler.core import SubstraitCompiler

    reactions = ibis.table(
        {"reaction_id": "string", "well": "string", "status": "string", "catalyst_lot": "string", "yield_pct": "float64", "rtb": "int64"},
        name="reactions",
    )  # fmt: skip
    lots = ibis.table({"lot": "string", "supplier": "string", "stock_g": "float64"}, name="reagent_lots")
    joined = reactions.join(lots, reactions.catalyst_lot == lots.lot)
    for sql, expression in [
        (f"SELECT count(*) AS n FROM {R} WHERE yield_pct > 90", reactions.filter(reactions.yield_pct > 90).aggregate(n=lambda t: t.count())),
        (f"SELECT status, sum(rtb) AS s, avg(rtb) AS a FROM {R} GROUP BY status", reactions.group_by("status").aggregate(s=reactions.rtb.sum(), a=reactions.rtb.mean())),
        (f"SELECT l.supplier, count(*) AS n FROM {R} r JOIN {L} l ON r.catalyst_lot = l.lot GROUP BY 1", joined.group_by("supplier").aggregate(n=lambda t: t.count())),
        (f"SELECT reaction_id, upper(well) AS w FROM {R} WHERE status = 'released' ORDER BY reaction_id LIMIT 7", reactions.filter(reactions.status == "released").order_by("reaction_id").select("reaction_id", w=lambda t: t.well.upper()).limit(7)),
    ]:  # fmt: skip
        with reported(sql):
            yield "ibis", sql, SubstraitCompiler().compile(expression).SerializeToString()


for producer, sql, plan in {"datafusion": datafusion, "ibis": ibis}[sys.argv[1]]():
    print(json.dumps({"producer": producer, "sql": sql, "plan": base64.b64encode(plan).decode()}))
