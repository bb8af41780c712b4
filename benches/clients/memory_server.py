"""A Flight server that streams one table from memory: `memory_server.py PORT FILE…`."""

import sys

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as parquet

port, *files = sys.argv[1:]
table = pa.concat_tables(parquet.read_table(file) for file in files)


class Server(flight.FlightServerBase):
    def do_get(self, context, ticket):
        return flight.RecordBatchStream(table)


Server(f"grpc://127.0.0.1:{port}").serve()
