-- The touched runs' attempts: the first start, and the first end after it. The model is the one that wrote the most.
INSERT INTO attempts
WITH steps AS (
    SELECT run, build, task, attempt, kind = 'attempt.started' AS starts, turn, {'ts': ts, 'd': from_json(data,
        '{"agent": "VARCHAR", "model": "VARCHAR", "session": "VARCHAR", "outcome": "VARCHAR", "cause": "VARCHAR",
            "exit_code": "INTEGER"}')} AS e
    FROM mine
    WHERE kind IN ('attempt.started', 'attempt.finished') AND build IS NOT NULL AND task IS NOT NULL
        AND attempt IS NOT NULL
),
firsts AS (
    SELECT run, build, task, attempt, min(turn) FILTER (starts) AS began, arg_min(e, turn) FILTER (starts) AS s,
        min(turn) FILTER (NOT starts) AS ended,
        arg_min(e, turn) FILTER (NOT starts AND e.d.outcome IS NOT NULL) AS f
    FROM steps GROUP BY run, build, task, attempt
),
-- Rare: what ends before the first start is no end of it.
later AS (
    SELECT run, build, task, attempt, arg_min(steps.e, turn) AS f
    FROM steps JOIN (SELECT * FROM firsts WHERE ended < began) USING (run, build, task, attempt)
    WHERE NOT starts AND turn > began AND steps.e.d.outcome IS NOT NULL
    GROUP BY run, build, task, attempt
),
models AS (
    SELECT run, build, task, attempt, arg_max(model, (coalesce(output_tokens, 0), model)) AS model
    FROM taken WHERE model IS NOT NULL GROUP BY run, build, task, attempt
)
SELECT
    run, build, task, attempt, s.d.agent, coalesce(m.model, nullif(s.d.model, 'auto')), s.d.session,
    coalesce(f.d.outcome, 'running'), f.d.cause, f.d.exit_code, s.ts, f.ts, epoch_us(f.ts - s.ts) / 1e6
FROM (
    SELECT * EXCLUDE (f, ended), f FROM firsts WHERE began IS NOT NULL AND (ended IS NULL OR ended > began)
    UNION ALL
    SELECT firsts.* EXCLUDE (f, ended), later.f
    FROM firsts LEFT JOIN later USING (run, build, task, attempt) WHERE ended < began
)
LEFT JOIN models AS m USING (run, build, task, attempt);
