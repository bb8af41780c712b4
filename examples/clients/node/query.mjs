// Reads from labhouse over Flight SQL:
//   npm install && LABHOUSE_USER=sam LABHOUSE_PASSWORD=sam-demo node query.mjs
// For the browser and for streams there is POST /api/query (Arrow, JSON, CSV); see /api/openapi.json.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// Packages are looked for beside this file, or in LABHOUSE_NODE.
const base = process.env.LABHOUSE_NODE ? pathToFileURL(`${process.env.LABHOUSE_NODE}/`) : import.meta.url;
const require = createRequire(base);
const { createFlightSqlClient } = require("@lakehouse-rs/flight-sql-client");
const { tableFromIPC } = require("apache-arrow");

const server = new URL((process.env.LABHOUSE_URI ?? "grpc://127.0.0.1:50051").replace(/^grpc(\+tls)?:/, "http:"));
const client = await createFlightSqlClient({
  host: server.hostname,
  port: Number(server.port),
  tls: false,
  username: process.env.LABHOUSE_USER,
  password: process.env.LABHOUSE_PASSWORD,
  headers: [],
});

const rows = tableFromIPC(
  await client.query("SELECT plate_id, count(*) AS wells FROM lab.chemistry.plate_readings GROUP BY 1 ORDER BY 1 LIMIT 3"),
);
for (const { plate_id, wells } of rows) console.log(plate_id, Number(wells));

const tables = tableFromIPC(await client.getTables({ dbSchemaFilterPattern: "chem%", tableTypes: [] }));
console.log("tables", tables.numRows);
