-- Each message once: of several reports the largest, and a side chain's copy gives way to its parent's. What is in
-- the transcript of a session that br3 ran is not there at all, in copies of it neither.
CREATE TEMP TABLE messages AS
WITH here AS (
    SELECT l.*, p.build, o.session IS NOT NULL AS own
    FROM lines AS l
    SEMI JOIN counted USING (model)
    JOIN places AS p ON p.cwd = l.cwd AND p.branch = l.branch AND l.sent >= p.since AND l.sent < p.until
    LEFT JOIN own AS o ON o.session = l.session AND l.sent <= o.ended
    WHERE l.message IS NOT NULL AND l.input_tokens IS NOT NULL
),
largest AS (
    SELECT * FROM here
    WHERE message NOT IN (SELECT message FROM here WHERE own)
    QUALIFY row_number() OVER (
        PARTITION BY agent, message, request
        ORDER BY sidechain, output_tokens DESC,
            input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens DESC,
            sent, session, build NULLS LAST, model, branch, cwd, mode
    ) = 1
)
SELECT * EXCLUDE (own) FROM largest
WHERE NOT sidechain OR message NOT IN (SELECT message FROM largest WHERE NOT sidechain)
-- A copy may have a number of its own, also where its parent is not among the lines.
QUALIFY NOT sidechain OR row_number() OVER (
    PARTITION BY agent, message, sidechain ORDER BY output_tokens DESC, sent, request
) = 1;
