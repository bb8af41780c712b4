{{ config(persist_docs={"relation": true, "columns": true}) }}
select plate_id, min(run_at) as run_at, count(*) as wells, avg(yield_pct) as mean_pct
from {{ source("chemistry", "plate_readings") }}
group by plate_id
