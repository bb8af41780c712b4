"""One lab, five people, five truths: each checked against readers that know nothing of labhouse.

What the server says is compared with the Delta tables on disk, read by `deltalake` and counted by DuckDB. The rules
below are the demo's policy (`policies/` in the demo's folder) in the words of this test.
"""

import duckdb
import pytest
from deltalake import DeltaTable

REACTIONS = "lab.chemistry.reactions"
# ana: released plates only, no operator, no structure in clear.
ANA_ROWS = "status = 'released'"
ANA_DENIED = "operator"
ANA_MASKED = "scaffold_smiles"

# Tables each may read, and some each may not.
MAY = {
    "ada": ["chemistry.reactions", "chemistry.protocols", "preclinical.dose_groups", "adme.clearance", "assay.ic50"],
    "sam": ["chemistry.reactions", "chemistry.protocols", "chemistry.plate_readings", "chembl.compound_properties"],
    "ana": ["chemistry.reactions", "chemistry.protocols", "chemistry.virtual_library", "preclinical.dose_groups"],
    "dee": ["chemistry.reactions", "adme.clearance", "assay.ic50"],
}
MAY_NOT = {
    "sam": ["adme.clearance", "assay.ic50", "preclinical.dose_groups"],
    "ana": ["adme.clearance", "assay.ic50"],
    "guest": ["chemistry.reactions", "chemistry.protocols", "chembl.compound_properties", "preclinical.dose_groups"],
}


def on_disk(lab_dir, table):
    """A table as `deltalake` reads it, for DuckDB to ask."""
    return DeltaTable(str(lab_dir / "tables" / table.replace(".", "/"))).to_pyarrow_table()


@pytest.fixture(scope="module")
def disk(lab_dir):
    """disk("SELECT …") asks DuckDB about `reactions` as it lies on disk."""
    connection = duckdb.connect()
    connection.register("reactions", on_disk(lab_dir, "chemistry.reactions"))

    def ask(sql):
        return connection.execute(sql).fetchall()

    return ask


def readable(query, user):
    """`schema.table` of everything the user is told of, without the schemas every SQL server has."""
    tables = query(user, "SHOW TABLES").to_pylist()
    return {
        f"{table['table_schema']}.{table['table_name']}"
        for table in tables
        if table["table_schema"] not in ("information_schema", "system")
    }


@pytest.mark.parametrize("user, table", [(user, table) for user, tables in MAY.items() for table in tables])
def test_who_may_read_a_table_reads_it(query, value, lab_dir, user, table):
    assert table in readable(query, user)
    rows = on_disk(lab_dir, table).num_rows
    counted = value(user, f"SELECT count(*) FROM lab.{table}")
    if (user, table) == ("ana", "chemistry.reactions"):
        assert 0 < counted < rows
    else:
        assert counted == rows > 0


@pytest.mark.parametrize("user, table", [(user, table) for user, tables in MAY_NOT.items() for table in tables])
def test_who_may_not_hears_the_same_as_for_a_table_that_does_not_exist(query, error_of, user, table):
    assert table not in readable(query, user)
    schema, name = table.split(".")
    invented = name[:-1] + ("x" if name[-1] != "x" else "y")
    hidden = error_of(user, f"SELECT * FROM lab.{table}")
    absent = error_of(user, f"SELECT * FROM lab.{schema}.{invented}")
    assert hidden.replace(name, "NAME") == absent.replace(invented, "NAME")


def test_the_three_truths_differ_in_number(value, disk):
    all_rows = disk("SELECT count(*) FROM reactions")[0][0]
    released = disk(f"SELECT count(*) FROM reactions WHERE {ANA_ROWS}")[0][0]
    assert all_rows == 36864 and 0 < released < all_rows
    for user, rows in [("ada", all_rows), ("sam", all_rows), ("ana", released)]:
        assert value(user, f"SELECT count(*) FROM {REACTIONS}") == rows, user


def test_guest_is_told_of_no_table(query):
    assert readable(query, "guest") == set()


@pytest.mark.parametrize("user, predicate", [("sam", "true"), ("ana", ANA_ROWS)])
def test_numbers_agree_with_the_disk(query, disk, user, predicate):
    sql = "SELECT campaign, count(*) AS n, avg(yield_pct) AS mean, min(yield_pct), max(yield_pct) FROM {} {} GROUP BY 1 ORDER BY 1"
    served = query(user, sql.format(REACTIONS, ""))
    expected = disk(sql.format("reactions", f"WHERE {predicate}"))
    rows = list(zip(*(column.to_pylist() for column in served.columns)))
    assert len(rows) == len(expected) >= 3
    for row, wanted in zip(rows, expected):
        assert row[:2] == wanted[:2]
        assert row[2:] == pytest.approx(wanted[2:])


@pytest.mark.parametrize(
    "question",
    [
        "SELECT count(*) FROM {t} WHERE status <> 'released'",
        "SELECT count(*) FROM (SELECT * FROM {t}) x WHERE status = 'rejected'",
        "WITH w AS (SELECT status FROM {t}) SELECT count(*) FROM w WHERE status = 'draft'",
        "SELECT count(*) FROM {t} a JOIN {t} b ON a.reaction_id = b.reaction_id WHERE b.status <> 'released'",
        "SELECT sum(CASE WHEN status = 'released' THEN 0 ELSE 1 END) FROM {t}",
        "SELECT count(*) FROM {t} WHERE status = 'draft' OR (true AND status = 'rejected')",
        "SELECT count(DISTINCT status) - 1 FROM {t}",
    ],
)
def test_ana_meets_no_hidden_row_by_any_road(value, question):
    assert value("ana", question.format(t=REACTIONS)) == 0
    # The same question has another answer for one who may see: the test could fail.
    assert value("ada", question.format(t=REACTIONS)) > 0


def test_a_denied_column_is_not_there(query, error_of):
    assert ANA_DENIED in query("sam", f"SELECT * FROM {REACTIONS} LIMIT 0").schema.names
    assert ANA_DENIED not in query("ana", f"SELECT * FROM {REACTIONS} LIMIT 0").schema.names
    described = query("ana", f"DESCRIBE {REACTIONS}").column(0).to_pylist()
    assert "yield_pct" in described and ANA_DENIED not in described


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {c} FROM {t}",
        "SELECT count(*) FROM {t} WHERE {c} = 'mara.lindt'",
        "SELECT yield_pct FROM {t} ORDER BY {c}",
        "SELECT max({c}) FROM {t}",
    ],
)
def test_a_denied_column_and_an_invented_one_give_the_same_error(error_of, query, sql):
    invented = "operatex"
    denied = error_of("ana", sql.format(c=ANA_DENIED, t=REACTIONS))
    absent = error_of("ana", sql.format(c=invented, t=REACTIONS))
    assert denied.replace(ANA_DENIED, "NAME") == absent.replace(invented, "NAME")
    assert query("sam", sql.format(c=ANA_DENIED, t=REACTIONS)).num_rows > 0


def test_a_masked_column_shows_its_mask(query, value, disk):
    real = {row[0] for row in disk(f"SELECT DISTINCT {ANA_MASKED} FROM reactions")}
    assert len(real) == 10
    shown = set(query("ana", f"SELECT DISTINCT {ANA_MASKED} AS m FROM {REACTIONS}")["m"].to_pylist())
    assert shown and not shown & real, "no structure in clear"
    open_ = set(query("sam", f"SELECT DISTINCT {ANA_MASKED} AS m FROM {REACTIONS}")["m"].to_pylist())
    assert open_ == real
    # Nor can a real value be asked for, sorted by, or joined with.
    for structure in sorted(real)[:3]:
        question = f"SELECT count(*) FROM {REACTIONS} WHERE {ANA_MASKED} = ?"
        assert value("ana", question, (structure,)) == 0
        assert value("sam", question, (structure,)) > 0


def test_explain_tells_ana_nothing_from_below_the_barrier(query):
    for sql in [f"EXPLAIN VERBOSE SELECT * FROM {REACTIONS}", f"EXPLAIN ANALYZE SELECT yield_pct FROM {REACTIONS}"]:
        text = " ".join(str(cell) for column in query("ana", sql).columns for cell in column.to_pylist())
        for told in [".parquet", "released", ANA_DENIED, "tables/chemistry", "36864"]:
            assert told not in text, f"{sql} shows {told}"


def test_functions_are_for_those_who_may_execute(query, error_of):
    call = (
        "SELECT predict_yield(scaffold, reactant, catalyst, base, solvent, temperature_c, alogp, full_mwt, rtb, psa, "
        "hba, hbd) AS p FROM lab.chemistry.virtual_library LIMIT 5"
    )
    for user in ["ada", "sam", "ana", "dee"]:
        predicted = query(user, call)["p"].to_pylist()
        assert len(predicted) == 5 and all(-20 < percent < 120 for percent in predicted), predicted
    assert error_of("guest", "SELECT predict_yield('a', 'b', 'c', 'd', 'e', 1, 1, 1, 1, 1, 1, 1)")

    next_experiments = "SELECT * FROM top_recommendations('lab.chemistry.yield_model', 5)"
    for user in ["ada", "sam", "dee"]:
        table = query(user, next_experiments)
        assert table["rank"].to_pylist() == [1, 2, 3, 4, 5]
        predictions = table["prediction"].to_pylist()
        assert predictions == sorted(predictions, reverse=True)
    for user in ["ana", "guest"]:
        assert error_of(user, next_experiments)
