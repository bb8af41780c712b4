-- Wells and yields of each day: grows with its source, so that only new readings are read.
-- view: lab.{{site}}.daily_yield
-- owner: sam
-- refresh: on change
-- parameter: site = chemistry
-- expect: NOT NULL day, UNIQUE (day)
-- expect: lowest BETWEEN 0 AND 120
SELECT CAST(run_at AS DATE) AS day, count(*) AS wells, count(yield_pct) AS wells_read,
       sum(CAST(yield_pct AS DECIMAL(18, 6))) AS sum_pct, min(yield_pct) AS lowest, max(yield_pct) AS highest
FROM lab.{{site}}.plate_readings
GROUP BY 1
