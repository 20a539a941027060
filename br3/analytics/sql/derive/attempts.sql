-- The touched runs' attempts: the first start, and the first end after it. The model is the one that wrote the most.
INSERT INTO attempts
WITH steps AS (
    SELECT run, build, task, attempt, kind, ts, (gen, seq, ts, segment) AS turn,
        from_json(data, '{"agent": "VARCHAR", "model": "VARCHAR", "session": "VARCHAR", "outcome": "VARCHAR",
            "cause": "VARCHAR", "exit_code": "INTEGER"}') AS d
    FROM mine
    WHERE kind IN ('attempt.started', 'attempt.finished') AND build IS NOT NULL AND task IS NOT NULL
        AND attempt IS NOT NULL
),
started AS (
    SELECT run, build, task, attempt, min(turn) AS turn, arg_min(ts, turn) AS started, arg_min(d, turn) AS d
    FROM steps WHERE kind = 'attempt.started' GROUP BY ALL
),
finished AS (
    SELECT run, build, task, attempt, arg_min(e.ts, e.turn) AS ended, arg_min(e.d, e.turn) AS d
    FROM steps AS e JOIN started AS s USING (run, build, task, attempt)
    WHERE e.kind = 'attempt.finished' AND e.turn > s.turn AND e.d.outcome IS NOT NULL
    GROUP BY run, build, task, attempt
),
models AS (
    SELECT run, build, task, attempt, arg_max(model, (coalesce(output_tokens, 0), model)) AS model
    FROM taken WHERE model IS NOT NULL GROUP BY run, build, task, attempt
)
SELECT
    run, build, task, attempt, s.d.agent, coalesce(m.model, nullif(s.d.model, 'auto')), s.d.session,
    coalesce(f.d.outcome, 'running'), f.d.cause, f.d.exit_code, s.started, f.ended,
    epoch_us(f.ended - s.started) / 1e6
FROM started AS s
LEFT JOIN finished AS f USING (run, build, task, attempt)
LEFT JOIN models AS m USING (run, build, task, attempt);
