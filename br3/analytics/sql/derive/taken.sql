-- What was reported: one row per model and attempt, several reports of one added up, and one per request of br3's own.
-- A report that says neither tokens nor dollars has a row of its own: with it what the others say is not all.
CREATE OR REPLACE TEMP TABLE taken AS
WITH told AS (
    SELECT run, build, task, attempt, ts, CASE WHEN run IS NULL THEN turn END AS request,
        unnest(from_json(data, '{"model": "VARCHAR", "input_tokens": "BIGINT", "output_tokens": "BIGINT",
            "cache_write_tokens": "BIGINT", "cache_read_tokens": "BIGINT", "cost_usd": "VARCHAR", "source": "VARCHAR",
            "price": "VARCHAR"}'))
    FROM :reports WHERE kind = 'usage.recorded'
),
sane AS (
    SELECT * REPLACE (
        CASE WHEN input_tokens BETWEEN 0 AND 1e12 THEN input_tokens END AS input_tokens,
        CASE WHEN output_tokens BETWEEN 0 AND 1e12 THEN output_tokens END AS output_tokens,
        CASE WHEN cache_write_tokens BETWEEN 0 AND 1e12 THEN cache_write_tokens END AS cache_write_tokens,
        CASE WHEN cache_read_tokens BETWEEN 0 AND 1e12 THEN cache_read_tokens END AS cache_read_tokens
    )
    FROM told
),
reported AS (
    -- Agents report what they like: what cannot be true is not known.
    SELECT * REPLACE (
            CASE WHEN abs(try_cast(cost_usd AS DECIMAL(38, 10))) <= 1e6 THEN cost_usd::DECIMAL(28, 10) END AS cost_usd
        ),
        coalesce(input_tokens, 0) + coalesce(output_tokens, 0) + coalesce(cache_write_tokens, 0)
            + coalesce(cache_read_tokens, 0) AS tokens
    FROM sane
)
SELECT
    run, build, task, attempt, model, max(ts) AS ts,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cache_write_tokens)::BIGINT AS cache_write_tokens, sum(cache_read_tokens)::BIGINT AS cache_read_tokens,
    sum(cost_usd)::DECIMAL(28, 10) AS cost_usd,
    coalesce(sum(tokens) FILTER (cost_usd IS NULL), 0)::BIGINT AS unpriced_tokens,
    max("source") FILTER (cost_usd IS NOT NULL) AS price_source, max(price) AS price
FROM reported
GROUP BY run, build, task, attempt, request, model, cost_usd IS NULL AND tokens = 0;
