"""Reads from labhouse as Arrow: adbc.py grpc://127.0.0.1:50051 sam sam-demo"""

import sys

import adbc_driver_flightsql.dbapi as flightsql

uri, user, password = sys.argv[1:]
with flightsql.connect(uri, db_kwargs={"username": user, "password": password}, autocommit=True) as connection:
    with connection.cursor() as cursor:
        sql = "SELECT plate_id, well, yield_pct FROM lab.chemistry.reactions WHERE yield_pct > ? ORDER BY yield_pct DESC LIMIT 3"
        cursor.execute(sql, (50.0,))
        for row in cursor.fetch_arrow_table().to_pylist():
            print(row)
