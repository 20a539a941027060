-- What the touched sessions took that br3 did not run itself, by hour.
INSERT INTO usage
SELECT
    'import', NULL, build, NULL, NULL, session, agent, model, max(sent),
    sum(input_tokens)::BIGINT, sum(output_tokens)::BIGINT, sum(cache_write_tokens)::BIGINT,
    sum(cache_read_tokens)::BIGINT, sum(cost_usd)::DECIMAL(28, 10),
    coalesce(sum(input_tokens + output_tokens + cache_write_tokens + cache_read_tokens) FILTER (cost_usd IS NULL), 0)
        ::BIGINT,
    CASE WHEN count(cost_usd) > 0 THEN 'table' END, max(price), NULL
FROM imports AS i SEMI JOIN touched_sessions USING (session)
WHERE NOT EXISTS (
    -- An attempt's own session was counted when it ended; what a person adds to it later was not.
    SELECT 1 FROM attempts AS a JOIN usage AS u USING (run, build, task, attempt)
    WHERE a.session = i.session AND (a.ended IS NULL OR i.sent <= a.ended)
)
GROUP BY build, session, agent, model, date_trunc('hour', sent);
