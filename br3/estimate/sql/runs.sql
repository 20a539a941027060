-- Every finished build with what was estimated of it first and what it took: all attempts together, failed ones too.
WITH took AS (
    SELECT run, build, sum(cost_usd)::DOUBLE AS cost_usd, sum(unpriced_tokens) AS unpriced
    FROM usage WHERE source = 'run' AND build IS NOT NULL GROUP BY run, build
),
worked AS (
    SELECT run, build, sum(duration_s) / 60 AS minutes, count(*) AS attempts,
        count(*) FILTER (state = 'failed') AS attempts_failed,
        -- The agent and the model that worked the longest.
        arg_max(agent, (coalesce(duration_s, 0), attempt)) AS agent,
        arg_max(model, (coalesce(duration_s, 0), attempt)) FILTER (model IS NOT NULL) AS model
    FROM attempts WHERE ended IS NOT NULL GROUP BY run, build
),
said AS (
    SELECT run, build, model, min(ts) AS ts, arg_min(minutes_p50, ts) AS minutes_p50,
        arg_min(minutes_p90, ts) AS minutes_p90, arg_min(cost_p50_usd, ts)::DOUBLE AS cost_p50_usd,
        arg_min(cost_p90_usd, ts)::DOUBLE AS cost_p90_usd, arg_min(data, ts) AS data
    FROM estimates WHERE build IS NOT NULL AND run IS NOT NULL GROUP BY run, build, model
)
SELECT
    b.run, b.build, b.state, b.ended, w.agent, w.model, t.cost_usd, coalesce(t.unpriced, 0) AS unpriced, w.minutes,
    w.attempts, w.attempts_failed, s.model AS estimated_model, s.minutes_p50, s.minutes_p90, s.cost_p50_usd,
    s.cost_p90_usd, s.data
FROM builds AS b
JOIN worked AS w USING (run, build)
LEFT JOIN took AS t USING (run, build)
LEFT JOIN said AS s USING (run, build)
WHERE b.state IN ('verified', 'failed') AND b.ended IS NOT NULL
ORDER BY b.ended, b.run, b.build, s.model
