-- Runs and builds by the state they are in, of the runs created since a moment.
SELECT 'runs' AS thing, state, count(*) AS n
FROM runs WHERE state IS NOT NULL AND (created >= $since OR $since IS NULL) GROUP BY state
UNION ALL
SELECT 'builds', b.state, count(*)
FROM builds AS b JOIN runs AS r USING (run) WHERE r.created >= $since OR $since IS NULL GROUP BY b.state
ORDER BY thing, n DESC, state;
