"""Reads from labhouse with ADBC: rows, Arrow, pandas, parameters, bulk loads.

    pip install adbc-driver-flightsql adbc-driver-manager pyarrow
    LABHOUSE_URI=grpc://127.0.0.1:50051 LABHOUSE_USER=sam LABHOUSE_PASSWORD=sam-demo python read.py

Encrypted: grpc+tls://host:port. A personal token in place of the password: db_kwargs={DatabaseOptions.AUTHORIZATION_HEADER.value:
"Bearer labhouse_…"}.
"""

import os

import adbc_driver_flightsql.dbapi as flightsql

# Each statement commits by itself. For transactions leave autocommit out, and add to db_kwargs
# "adbc.flight.sql.rpc.call_header.labhouse-transactions": "on".
connection = flightsql.connect(
    os.environ.get("LABHOUSE_URI", "grpc://127.0.0.1:50051"),
    db_kwargs={"username": os.environ["LABHOUSE_USER"], "password": os.environ["LABHOUSE_PASSWORD"]},
    autocommit=True,
)
with connection, connection.cursor() as cursor:
    # Bare names of tables are looked for here from now on.
    connection.adbc_current_db_schema = "chemistry"

    cursor.execute("SELECT plate_id, avg(yield_pct) AS mean FROM plate_readings GROUP BY 1 ORDER BY 1 LIMIT 3")
    for plate, mean in cursor.fetchall():
        print(plate, round(mean, 2))

    # Values are bound, never put into the text.
    cursor.execute("SELECT count(*) AS wells FROM plate_readings WHERE plate_id = ? AND \"column\" <= ?", ("P0001", 12))
    print("wells", cursor.fetchone()[0])

    # A large result comes in batches; the server waits for a slow reader.
    cursor.execute("SELECT plate_id, well, yield_pct FROM plate_readings")
    print("rows", sum(batch.num_rows for batch in cursor.fetch_record_batch()))

    # What there is, as this person may see it.
    (lab,) = connection.adbc_get_objects(depth="tables", db_schema_filter="chemistry").read_all().to_pylist()
    (schema,) = lab["catalog_db_schemas"]
    print("tables", len(schema["db_schema_tables"]))
