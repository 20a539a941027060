-- What was expected of builds.
INSERT INTO estimates
SELECT
    ts, run, build, task, model, score, level, critical, minutes_p50, minutes_p90,
    try_cast(cost_p50_usd AS DECIMAL(28, 10)), try_cast(cost_p90_usd AS DECIMAL(28, 10)), data
FROM (
    SELECT ts, run, build, task, data, unnest(from_json(data, '{"model": "VARCHAR", "score": "DOUBLE",
        "level": "VARCHAR", "critical": "BOOLEAN", "minutes_p50": "DOUBLE", "minutes_p90": "DOUBLE",
        "cost_p50_usd": "VARCHAR", "cost_p90_usd": "VARCHAR"}'))
    FROM events WHERE kind = 'estimate.made'
);
