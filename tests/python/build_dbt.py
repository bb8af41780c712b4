"""Runs the small dbt project of examples/clients/dbt as a person would, twice, and looks at what it made.

    build_dbt.py DIR      a copy of the project, which is written to (target/, logs/)
"""

import os
import sys

import adbc_driver_flightsql.dbapi as flightsql
from dbt.cli.main import dbtRunner

os.chdir(sys.argv[1])
connection = flightsql.connect(
    os.environ["LABHOUSE_URI"],
    db_kwargs={"username": os.environ["LABHOUSE_USER"], "password": os.environ["LABHOUSE_PASSWORD"]},
    autocommit=True,
)


def value(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def dbt(*words, good=True):
    outcome = dbtRunner().invoke([*words, "--profiles-dir", ".", "--no-send-anonymous-usage-stats"])
    told = getattr(outcome.result, "results", [])
    results = {result.node.name: (str(result.status), str(result.message)) for result in told if hasattr(result, "node")}
    assert outcome.success == good, (words, outcome.exception, results)
    return results


dbt("debug")
built = dbt("build")
assert {"targets", "plates", "plate_days", "aims"} <= set(built), built
assert value("SELECT count(*) FROM lab.yields.targets") == 2
assert value("SELECT max(target_pct) FROM lab.yields.targets") == 75.5
assert value("SELECT count(*) FROM lab.yields.targets WHERE note IS NULL") == 1
assert value("SELECT count(*) FROM lab.yields.plates") == 96
assert value("SELECT count(*) FROM lab.yields.aims") == 2
# Again: the incremental model changes what is there and adds nothing twice.
before = value("SELECT version FROM lab.system.commits WHERE table_schema = 'yields' AND table_name = 'plate_days'")
dbt("run")
assert value("SELECT count(*) FROM lab.yields.plate_days") == 96
assert value("SELECT count(DISTINCT plate_id) FROM lab.yields.plate_days") == 96
after = value("SELECT version FROM lab.system.commits WHERE table_schema = 'yields' AND table_name = 'plate_days'")
assert after == before + 1, "one MERGE, one commit"
dbt("run", "--full-refresh", "--select", "plate_days")
dbt("docs", "generate")
# A test that does not hold is told, and a model that cannot run says why.
with open("models/wrong.sql", "w") as file:
    file.write("select no_such_column from {{ ref('plates') }}")
wrong = dbt("run", "--select", "wrong", good=False)
assert "no_such_column" in wrong["wrong"][1], wrong
os.remove("models/wrong.sql")
# Who may not write is refused, in the server's words.
os.environ["LABHOUSE_USER"], os.environ["LABHOUSE_PASSWORD"] = "ana", "ana-demo"
refused = dbt("run", "--select", "plates", good=False)
assert "may not" in refused["plates"][1] or "not found" in refused["plates"][1], refused
assert value("SELECT count(*) FROM lab.yields.plates") == 96
print("built")
