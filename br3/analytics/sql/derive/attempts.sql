-- The touched runs' attempts: the first start, and the first end after it. The model is the one that wrote the most.
INSERT INTO attempts
WITH steps AS (
    SELECT run, build, task, attempt, kind = 'attempt.started' AS starts, turn, data
    FROM mine
    WHERE kind IN ('attempt.started', 'attempt.finished') AND build IS NOT NULL AND task IS NOT NULL
        AND attempt IS NOT NULL
),
firsts AS (
    SELECT run, build, task, attempt,
        min(turn) FILTER (starts) AS began, arg_min(data, turn) FILTER (starts) AS s,
        min(turn) FILTER (NOT starts) AS ended, arg_min(data, turn) FILTER (NOT starts) AS f
    FROM steps GROUP BY run, build, task, attempt
),
read AS (
    SELECT * REPLACE (
        from_json(s, '{"agent": "VARCHAR", "model": "VARCHAR", "session": "VARCHAR"}') AS s,
        from_json(f, '{"outcome": "VARCHAR", "cause": "VARCHAR", "exit_code": "INTEGER"}') AS f
    )
    FROM firsts WHERE began IS NOT NULL
),
-- Rare: what ends before the first start, or does not say how, is no end of it.
later AS (
    SELECT run, build, task, attempt, min(turn) AS ended,
        from_json(arg_min(data, turn), '{"outcome": "VARCHAR", "cause": "VARCHAR", "exit_code": "INTEGER"}') AS f
    FROM steps
    JOIN (SELECT run, build, task, attempt, began FROM read WHERE ended < began OR f.outcome IS NULL)
        USING (run, build, task, attempt)
    WHERE NOT starts AND turn > began AND (data ->> 'outcome') IS NOT NULL
    GROUP BY run, build, task, attempt
),
known AS (
    SELECT run, build, task, attempt, began, s, ended, f FROM read WHERE ended > began AND f.outcome IS NOT NULL
    UNION ALL
    SELECT run, build, task, attempt, began, s, later.ended, later.f
    FROM read LEFT JOIN later USING (run, build, task, attempt)
    WHERE read.ended IS NULL OR read.ended < began OR read.f.outcome IS NULL
),
models AS (
    SELECT run, build, task, attempt, arg_max(model, (coalesce(output_tokens, 0), model)) AS model
    FROM taken WHERE model IS NOT NULL GROUP BY run, build, task, attempt
)
SELECT
    run, build, task, attempt, s.agent, coalesce(m.model, nullif(s.model, 'auto')), s.session,
    coalesce(f.outcome, 'running'), f.cause, f.exit_code,
    make_timestamp((began % 2251799813685248)::BIGINT), make_timestamp((ended % 2251799813685248)::BIGINT),
    (ended % 2251799813685248 - began % 2251799813685248)::BIGINT / 1e6
FROM known LEFT JOIN models AS m USING (run, build, task, attempt);
