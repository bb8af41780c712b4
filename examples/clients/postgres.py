"""Reads from labhouse as from PostgreSQL: postgres.py postgresql://127.0.0.1:5432/lab sam sam-demo"""

import sys

import psycopg

url, user, password = sys.argv[1:]
with psycopg.connect(url, user=user, password=password, autocommit=True) as connection:
    sql = "SELECT plate_id, well, yield_pct FROM chemistry.reactions WHERE yield_pct > %s ORDER BY yield_pct DESC LIMIT 3"
    for row in connection.execute(sql, (50.0,)):
        print(row)
