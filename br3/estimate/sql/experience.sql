-- Per build and model: whether the work of the first model that was tried was accepted as it was, and what it cost.
-- Accepted: the build was verified, all its attempts were of that model, and none failed over the quality of its work.
WITH told AS (
    SELECT a.run, a.build, a.model, a.state, a.cause, a.started, a.attempt,
        row_number() OVER (PARTITION BY a.run, a.build ORDER BY a.started, a.attempt) AS place
    FROM attempts AS a
    WHERE a.ended IS NOT NULL AND coalesce(a.cause, '') NOT IN (
        'rate_limit', 'unreachable', 'overloaded', 'auth', 'credit', 'interrupted', 'cancelled', 'killed', 'budget'
    )
),
tried AS (
    SELECT run, build, arg_min(model, place) AS model, count(DISTINCT model) AS models,
        count(*) FILTER (state = 'failed') AS failed, count(*) AS attempts
    FROM told GROUP BY run, build
),
took AS (
    SELECT run, build, model, sum(cost_usd)::DOUBLE AS cost_usd
    FROM usage WHERE source = 'run' AND build IS NOT NULL GROUP BY run, build, model
)
SELECT t.model, b.state = 'verified' AND t.models = 1 AND t.failed = 0 AS accepted,
    (SELECT sum(cost_usd) FROM took WHERE took.run = t.run AND took.build = t.build) AS cost_usd
FROM tried AS t
JOIN builds AS b USING (run, build)
WHERE b.state IN ('verified', 'failed') AND t.model IS NOT NULL AND t.model <> 'auto'
ORDER BY b.ended, t.run, t.build
