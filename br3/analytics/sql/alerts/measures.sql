-- What the rules look at: the last day's tasks, the attempts that nobody stopped, and the money of this hour and this
-- day (UTC).
SELECT
    (SELECT struct_pack(
        tasks := count(*), success := avg(CASE WHEN state = 'completed' THEN 1.0 ELSE 0.0 END),
        mean := avg(duration_s), p95 := quantile_cont(duration_s, 0.95))
     FROM tasks WHERE state IN ('completed', 'failed') AND NOT carried
        AND ended > $now::TIMESTAMP - INTERVAL 24 HOUR AND ended <= $now::TIMESTAMP) AS t,
    (SELECT struct_pack(attempts := count(*), failed := avg(CASE WHEN state = 'failed' THEN 1.0 ELSE 0.0 END))
     FROM attempts WHERE coalesce(cause, '') NOT IN ('cancelled', 'skipped') AND ended > $now::TIMESTAMP - INTERVAL 24 HOUR AND ended <= $now::TIMESTAMP) AS a,
    (SELECT sum(cost_usd) FROM usage WHERE ts >= date_trunc('hour', $now::TIMESTAMP)) AS hour_usd,
    (SELECT sum(cost_usd) FROM usage WHERE ts >= date_trunc('day', $now::TIMESTAMP)) AS day_usd;
