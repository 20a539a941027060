-- How many attempts since a moment, of all runs or of some, have not told all that they took, by build.
SELECT build, count(*)::BIGINT AS attempts
FROM attempts AS a
WHERE started IS NOT NULL AND (coalesce(ended, started) >= $since OR $since IS NULL)
    AND ($runs IS NULL OR list_contains($runs::VARCHAR[], run))
    AND (
        SELECT coalesce(bool_or(cost_usd IS NULL AND unpriced_tokens = 0), true) FROM usage AS u
        WHERE u.run = a.run AND u.build = a.build AND u.task = a.task AND u.attempt = a.attempt
    )
GROUP BY build ORDER BY build;
