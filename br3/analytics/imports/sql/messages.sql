-- Each report of a message once, the largest of several lines, with the build whose it is.
CREATE TEMP TABLE messages AS
SELECT
    l.*, p.build,
    l.input_tokens + l.cache_write_5m_tokens + l.cache_write_1h_tokens + l.cache_read_tokens AS prompt_tokens
FROM lines AS l
SEMI JOIN counted USING (model)
ANTI JOIN own USING (agent, message)
JOIN places AS p ON p.cwd = l.cwd AND p.branch = l.branch AND l.sent >= p.since AND l.sent < p.until
WHERE l.message IS NOT NULL AND l.input_tokens IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY agent, message, request
    ORDER BY sidechain, output_tokens DESC, prompt_tokens DESC, sent, session, build NULLS LAST, l.model, l.branch,
        l.cwd, mode
) = 1;
