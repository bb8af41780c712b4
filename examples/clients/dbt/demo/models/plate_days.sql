{{ config(materialized="incremental", unique_key="plate_id") }}
select plate_id, cast(run_at as date) as run_day, mean_pct
from {{ ref("plates") }}
{% if is_incremental() %}
where cast(run_at as date) >= (select max(run_day) from {{ this }})
{% endif %}
