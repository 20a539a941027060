-- Imported messages, each once: of several reports the largest, and a side chain's copy gives way to its parent's.
INSERT INTO kept_imports
WITH candidates AS (
    SELECT * FROM fresh_imports
    UNION ALL
    SELECT * FROM imports SEMI JOIN fresh_imports USING (agent, message)
),
largest AS (
    SELECT * FROM candidates
    QUALIFY row_number() OVER (
        PARTITION BY agent, message, request
        ORDER BY sidechain, output_tokens DESC, input_tokens + cache_write_tokens + cache_read_tokens DESC,
            input_tokens, cache_write_tokens, sent, session, build NULLS LAST, model, branch, cost_usd, price
    ) = 1
)
SELECT * FROM largest
QUALIFY NOT sidechain OR (
    NOT bool_or(NOT sidechain) OVER (PARTITION BY agent, message)
    AND row_number() OVER (
        PARTITION BY agent, message
        ORDER BY output_tokens DESC, input_tokens + cache_write_tokens + cache_read_tokens DESC, request, sent, session
    ) = 1
);
