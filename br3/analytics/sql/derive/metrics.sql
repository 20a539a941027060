-- The touched {unit}s again, from tasks, attempts, usage and incidents; sums are of integers and decimals, so that
-- the order of rows does not matter.
INSERT INTO {table}
WITH buckets AS (SELECT DISTINCT date_trunc('{unit}', hour) AS bucket FROM touched_hours),
facts AS (
    SELECT date_trunc('{unit}', ended) AS bucket, build, agent, model, 'task' AS what, state, duration_s,
        NULL::BIGINT AS i, NULL::BIGINT AS o, NULL::BIGINT AS w, NULL::BIGINT AS r,
        NULL::DECIMAL(28, 10) AS cost, NULL::BIGINT AS unpriced
    FROM tasks WHERE state IN ('completed', 'failed') AND NOT carried AND ended >= date_trunc('{unit}', $since)
        AND ended < date_trunc('{unit}', $until) + INTERVAL 1 {unit}
    UNION ALL
    SELECT date_trunc('{unit}', ended), build, agent, model, 'attempt', state, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM attempts WHERE ended >= date_trunc('{unit}', $since)
        AND ended < date_trunc('{unit}', $until) + INTERVAL 1 {unit}
    UNION ALL
    SELECT date_trunc('{unit}', ts), build, agent, model, 'usage', NULL, NULL,
        input_tokens, output_tokens, cache_write_tokens, cache_read_tokens, cost_usd, unpriced_tokens
    FROM usage WHERE ts >= date_trunc('{unit}', $since)
        AND ts < date_trunc('{unit}', $until) + INTERVAL 1 {unit}
    UNION ALL
    SELECT date_trunc('{unit}', ts), build, NULL, NULL, 'incident', kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM events
    WHERE kind IN ('error.occurred', 'rate_limit.hit', 'timeout.occurred', 'model.fallback')
        AND ts >= date_trunc('{unit}', $since)
        AND ts < date_trunc('{unit}', $until) + INTERVAL 1 {unit}
)
SELECT * EXCLUDE (quantiles), quantiles[1], quantiles[2], quantiles[3]
FROM (
    SELECT
        bucket, build, agent, model,
        count(*) FILTER (what = 'task'),
        count(*) FILTER (what = 'task' AND state = 'completed'),
        count(*) FILTER (what = 'task' AND state = 'failed'),
        count(*) FILTER (what = 'attempt'),
        count(*) FILTER (what = 'attempt' AND state = 'failed'),
        count(*) FILTER (what = 'incident' AND state = 'error.occurred'),
        count(*) FILTER (what = 'incident' AND state = 'rate_limit.hit'),
        count(*) FILTER (what = 'incident' AND state = 'timeout.occurred'),
        count(*) FILTER (what = 'incident' AND state = 'model.fallback'),
        coalesce(sum(i), 0)::BIGINT, coalesce(sum(o), 0)::BIGINT, coalesce(sum(w), 0)::BIGINT, coalesce(sum(r), 0)::BIGINT,
        sum(cost)::DECIMAL(38, 10), coalesce(sum(unpriced), 0)::BIGINT,
        sum((duration_s * 1e6)::BIGINT) / count(duration_s) / 1e6,
        quantile_cont(duration_s, [0.5, 0.95, 0.99]) AS quantiles
    FROM facts SEMI JOIN buckets USING (bucket)
    GROUP BY bucket, build, agent, model
);
