-- Each report of a message once, the largest of several lines, with the build whose it is. Of equal ones the first;
-- the hash only makes the choice the same each time.
CREATE TEMP TABLE messages AS
WITH largest AS (
    SELECT
        max_by(l.rowid, (
            NOT sidechain,
            output_tokens,
            input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens,
            -epoch_us(sent),
            hash(session, l.cwd, l.branch, l.model, mode)
        )) AS line
    FROM lines AS l
    SEMI JOIN counted USING (model)
    ANTI JOIN own USING (agent, message)
    JOIN places AS p ON p.cwd = l.cwd AND p.branch = l.branch AND sent >= since AND sent < until
    WHERE message IS NOT NULL AND input_tokens IS NOT NULL
    GROUP BY agent, message, request
)
SELECT
    l.*, build,
    input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens AS prompt_tokens
FROM lines AS l
JOIN largest ON l.rowid = line
JOIN places AS p ON p.cwd = l.cwd AND p.branch = l.branch AND sent >= since AND sent < until;
