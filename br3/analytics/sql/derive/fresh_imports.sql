-- The messages that {events} tell of.
CREATE OR REPLACE TEMP TABLE fresh_imports AS
SELECT
    coalesce(d.agent, '?') AS agent, d.session, d.message, coalesce(d.request, '') AS request,
    coalesce(d."at", ts) AS sent, d.model, build, d.branch, coalesce(d.sidechain, false) AS sidechain,
    coalesce(d.input_tokens, 0) AS input_tokens, coalesce(d.output_tokens, 0) AS output_tokens,
    coalesce(d.cache_write_tokens, 0) AS cache_write_tokens, coalesce(d.cache_read_tokens, 0) AS cache_read_tokens,
    try_cast(d.cost_usd AS DECIMAL(18, 10)) AS cost_usd, d.price
FROM (
    SELECT *, from_json(data, '{{"agent": "VARCHAR", "session": "VARCHAR", "message": "VARCHAR", "request": "VARCHAR",
        "model": "VARCHAR", "at": "TIMESTAMP", "input_tokens": "BIGINT", "output_tokens": "BIGINT",
        "cache_write_tokens": "BIGINT", "cache_read_tokens": "BIGINT", "cost_usd": "VARCHAR", "price": "VARCHAR",
        "branch": "VARCHAR", "sidechain": "BOOLEAN"}}') AS d
    FROM {events} WHERE kind = 'usage.imported'
);
