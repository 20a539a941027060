-- The touched runs' tasks: the first event that takes one out of pending, and the first that ends it after that.
INSERT INTO tasks
WITH steps AS (
    SELECT run, build, task, kind, kind IN ('task.started', 'task.carried', 'task.skipped') AS leaves,
        kind IN ('task.completed', 'task.failed', 'task.skipped') AS ends, turn, data
    FROM mine
    WHERE kind IN (:kinds) AND build IS NOT NULL AND task IS NOT NULL
    -- Retried, a task is pending again; what came before is a matter of its attempts.
    QUALIFY turn >= coalesce(max(turn) FILTER (kind = 'task.retried') OVER (PARTITION BY run, build, task), turn)
),
firsts AS (
    SELECT run, build, task,
        min(turn) FILTER (leaves) AS began, arg_min(data, turn) FILTER (leaves) AS s,
        arg_min(kind, turn) FILTER (leaves) AS began_by,
        min(turn) FILTER (ends) AS ended, arg_min(data, turn) FILTER (ends) AS f,
        arg_min(kind, turn) FILTER (ends) AS ended_by
    FROM steps GROUP BY run, build, task
),
-- Rare: what ends before the task was begun is no end of it.
later AS (
    SELECT run, build, task, min(turn) AS ended, arg_min(data, turn) AS f, arg_min(kind, turn) AS ended_by
    FROM steps JOIN (SELECT run, build, task, began FROM firsts WHERE ended < began) USING (run, build, task)
    WHERE ends AND turn > began
    GROUP BY run, build, task
),
known AS (
    SELECT run, build, task, began, s, began_by, ended, f, ended_by
    FROM firsts WHERE began_by = 'task.started' AND (ended IS NULL OR ended > began)
    UNION ALL
    SELECT run, build, task, began, s, began_by, later.ended, later.f, later.ended_by
    FROM firsts LEFT JOIN later USING (run, build, task) WHERE began_by = 'task.started' AND firsts.ended < began
    UNION ALL
    -- Carried and skipped ones are over at once; what only ends has never left pending.
    SELECT run, build, task, began, s, began_by, began, s, began_by
    FROM firsts WHERE began_by IS DISTINCT FROM 'task.started'
),
read AS (
    SELECT * REPLACE (
        from_json(s, '{"title": "VARCHAR", "reason": "VARCHAR", "commit": "VARCHAR"}') AS s,
        from_json(f, '{"title": "VARCHAR", "reason": "VARCHAR", "commit": "VARCHAR"}') AS f
    ),
    make_timestamp((began % 2251799813685248)::BIGINT) AS began_ts,
    make_timestamp((ended % 2251799813685248)::BIGINT) AS ended_ts
    FROM known
),
tried AS (
    SELECT run, build, task, count(*) AS attempts, arg_max(agent, attempt) AS agent, arg_max(model, attempt) AS model
    FROM attempts SEMI JOIN touched_runs USING (run) GROUP BY run, build, task
),
took AS (
    SELECT run, build, task, sum(cost_usd)::DECIMAL(28, 10) AS cost_usd, sum(output_tokens)::BIGINT AS output_tokens
    FROM taken GROUP BY run, build, task
)
SELECT
    run, build, task, coalesce(nullif(f.title, ''), nullif(s.title, '')), coalesce(after, 'pending'),
    CASE WHEN ended IS NULL THEN s.reason ELSE f.reason END,
    coalesce(nullif(f."commit", ''), nullif(s."commit", '')), coalesce(began_by = 'task.carried', false),
    coalesce(attempts, 0), agent, model, CASE WHEN began_by = 'task.started' THEN began_ts END, ended_ts,
    CASE WHEN began_by = 'task.started' THEN epoch_us(ended_ts - began_ts) / 1e6 END,
    cost_usd, output_tokens
FROM read
LEFT JOIN (SELECT kind, any_value(after) AS after FROM moves WHERE thing = 'task' GROUP BY kind) AS m
    ON m.kind = coalesce(ended_by, began_by)
LEFT JOIN tried USING (run, build, task)
LEFT JOIN took USING (run, build, task);
