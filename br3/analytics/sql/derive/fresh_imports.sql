-- The messages that {events} tell of.
CREATE OR REPLACE TEMP TABLE fresh_imports AS
SELECT
    coalesce(d.agent, '?') AS agent, coalesce(d.session, '?') AS session,
    coalesce(d.message, segment || ':' || seq) AS message, coalesce(d.request, '') AS request,
    coalesce(d."at", ts) AS sent, d.model, build, d.branch, coalesce(d.sidechain, false) AS sidechain,
    CASE WHEN d.input_tokens BETWEEN 0 AND 1e12 THEN d.input_tokens ELSE 0 END AS input_tokens,
    CASE WHEN d.output_tokens BETWEEN 0 AND 1e12 THEN d.output_tokens ELSE 0 END AS output_tokens,
    CASE WHEN d.cache_write_tokens BETWEEN 0 AND 1e12 THEN d.cache_write_tokens ELSE 0 END AS cache_write_tokens,
    CASE WHEN d.cache_read_tokens BETWEEN 0 AND 1e12 THEN d.cache_read_tokens ELSE 0 END AS cache_read_tokens,
    CASE WHEN abs(try_cast(d.cost_usd AS DECIMAL(38, 10))) <= 1e6 THEN d.cost_usd::DECIMAL(28, 10) END AS cost_usd,
    d.price
FROM (
    SELECT *, from_json(data, '{{"agent": "VARCHAR", "session": "VARCHAR", "message": "VARCHAR", "request": "VARCHAR",
        "model": "VARCHAR", "at": "TIMESTAMP", "input_tokens": "BIGINT", "output_tokens": "BIGINT",
        "cache_write_tokens": "BIGINT", "cache_read_tokens": "BIGINT", "cost_usd": "VARCHAR", "price": "VARCHAR",
        "branch": "VARCHAR", "sidechain": "BOOLEAN"}}') AS d
    FROM {events} WHERE kind = 'usage.imported'
);
