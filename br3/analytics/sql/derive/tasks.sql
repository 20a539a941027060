-- The touched runs' tasks: the first event that takes one out of pending, and the first that ends it after that.
INSERT INTO tasks
WITH steps AS (
    SELECT run, build, task, kind IN ('task.started', 'task.carried', 'task.skipped') AS leaves, turn,
        {'kind': kind, 'ts': ts, 'd': from_json(data, '{"title": "VARCHAR", "reason": "VARCHAR", "commit": "VARCHAR"}')}
            AS e
    FROM mine
    WHERE kind IN (SELECT kind FROM moves WHERE thing = 'task') AND build IS NOT NULL AND task IS NOT NULL
),
firsts AS (
    SELECT run, build, task, min(turn) FILTER (leaves) AS began, arg_min(e, turn) FILTER (leaves) AS s,
        min(turn) FILTER (NOT leaves) AS ended, arg_min(e, turn) FILTER (NOT leaves) AS f
    FROM steps GROUP BY run, build, task
),
-- Rare: what ends before the task was begun is no end of it.
later AS (
    SELECT run, build, task, arg_min(steps.e, turn) AS f
    FROM steps JOIN (SELECT * FROM firsts WHERE ended < began) USING (run, build, task)
    WHERE NOT leaves AND turn > began
    GROUP BY run, build, task
),
replayed AS (
    SELECT run, build, task, s, CASE WHEN s.kind = 'task.started' THEN f END AS f
    FROM (
        SELECT run, build, task, s, f FROM firsts WHERE began IS NULL OR ended IS NULL OR ended > began
        UNION ALL
        SELECT run, build, task, s, later.f FROM firsts LEFT JOIN later USING (run, build, task) WHERE ended < began
    )
),
tried AS (
    SELECT run, build, task, count(*) AS attempts, arg_max(agent, attempt) AS agent, arg_max(model, attempt) AS model
    FROM attempts SEMI JOIN touched_runs USING (run) GROUP BY run, build, task
)
SELECT
    run, build, task, coalesce(nullif(f.d.title, ''), nullif(s.d.title, '')),
    coalesce((SELECT any_value(after) FROM moves WHERE thing = 'task' AND kind = coalesce(f.kind, s.kind)), 'pending'),
    CASE WHEN f IS NULL THEN s.d.reason ELSE f.d.reason END,
    coalesce(nullif(f.d."commit", ''), nullif(s.d."commit", '')), coalesce(s.kind = 'task.carried', false),
    coalesce(attempts, 0), agent, model, CASE WHEN s.kind = 'task.started' THEN s.ts END,
    CASE WHEN s.kind <> 'task.started' THEN s.ts ELSE f.ts END,
    CASE WHEN s.kind = 'task.started' THEN epoch_us(f.ts - s.ts) / 1e6 END
FROM replayed LEFT JOIN tried USING (run, build, task);
