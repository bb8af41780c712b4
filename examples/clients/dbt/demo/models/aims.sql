{{ config(materialized="view") }}
select t.catalyst_family, t.target_pct, p.mean_pct, p.mean_pct >= t.target_pct as reached
from {{ ref("targets") }} t cross join (select avg(mean_pct) as mean_pct from {{ ref("plates") }}) p
