# Reads from labhouse with ADBC.
#   install.packages(c("adbcdrivermanager", "adbcflightsql", "arrow"))
#   LABHOUSE_USER=sam LABHOUSE_PASSWORD=sam-demo Rscript query.R
library(adbcdrivermanager)

database <- adbc_database_init(
  adbcflightsql::adbcflightsql(),
  uri = Sys.getenv("LABHOUSE_URI", "grpc://127.0.0.1:50051"),
  username = Sys.getenv("LABHOUSE_USER"),
  password = Sys.getenv("LABHOUSE_PASSWORD")
)
connection <- adbc_connection_init(database)

plates <- read_adbc(connection, "
  SELECT plate_id, avg(yield_pct) AS mean
  FROM lab.chemistry.plate_readings GROUP BY plate_id ORDER BY plate_id LIMIT 3
") |> as.data.frame()
print(plates)

# Values are bound: one row of parameters is one run.
statement <- adbc_statement_init(connection)
adbc_statement_set_sql_query(statement, "SELECT count(*) AS wells FROM lab.chemistry.plate_readings WHERE plate_id = ?")
adbc_statement_prepare(statement)
adbc_statement_bind(statement, data.frame(plate = "P0001"))
wells <- nanoarrow::nanoarrow_allocate_array_stream()
adbc_statement_execute_query(statement, wells)
print(as.data.frame(wells))

adbc_statement_release(statement)
adbc_connection_release(connection)
adbc_database_release(database)
