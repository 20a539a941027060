-- How many attempts since a moment, of all runs or of some, have told nothing of what they took, by build.
SELECT build, count(*)::BIGINT AS attempts
FROM attempts AS a
WHERE started IS NOT NULL AND (coalesce(ended, started) >= $since OR $since IS NULL)
    AND ($runs IS NULL OR list_contains($runs::VARCHAR[], run))
    AND NOT EXISTS (
        SELECT 1 FROM usage AS u
        WHERE u.run = a.run AND u.build = a.build AND u.task = a.task AND u.attempt = a.attempt
            AND coalesce(cost_usd, input_tokens, output_tokens, cache_write_tokens, cache_read_tokens) IS NOT NULL
    )
GROUP BY build ORDER BY build;
