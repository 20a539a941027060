-- The touched runs' tasks: their moves replayed in order, illegal ones passed over.
INSERT INTO tasks
WITH steps AS (
    SELECT
        run, build, task,
        list({
            'kind': kind, 'ts': ts, 'state': NULL::VARCHAR, 'started': NULL::TIMESTAMP, 'ended': NULL::TIMESTAMP,
            'title': data ->> 'title', 'reason': data ->> 'reason', 'commit': data ->> 'commit', 'carried': false
        } ORDER BY gen, seq, ts, segment) AS steps
    FROM mine
    WHERE kind IN (SELECT kind FROM moves WHERE thing = 'task') AND build IS NOT NULL AND task IS NOT NULL
    GROUP BY ALL
),
replayed AS (
    SELECT run, build, task,
        list_reduce(
            list_prepend({
                'kind': '', 'ts': NULL::TIMESTAMP, 'state': 'pending', 'started': NULL::TIMESTAMP,
                'ended': NULL::TIMESTAMP, 'title': NULL::VARCHAR, 'reason': NULL::VARCHAR, 'commit': NULL::VARCHAR,
                'carried': false
            }, steps),
            lambda a, e: CASE WHEN legal[a.state || '>' || e.kind] IS NULL THEN a ELSE {
                'kind': e.kind, 'ts': e.ts, 'state': legal[a.state || '>' || e.kind],
                'started': coalesce(a.started, CASE WHEN e.kind = 'task.started' THEN e.ts END),
                'ended': CASE WHEN e.kind <> 'task.started' THEN e.ts ELSE a.ended END,
                'title': coalesce(nullif(e.title, ''), a.title), 'reason': e.reason,
                'commit': coalesce(nullif(e.commit, ''), a.commit),
                'carried': a.carried OR e.kind = 'task.carried'
            } END
        ) AS t
    FROM steps, (SELECT map_from_entries(list((before || '>' || kind, after))) AS legal FROM moves WHERE thing = 'task')
),
tried AS (
    SELECT run, build, task, count(*) AS attempts, arg_max(agent, attempt) AS agent, arg_max(model, attempt) AS model
    FROM attempts SEMI JOIN touched_runs USING (run) GROUP BY run, build, task
)
SELECT
    run, build, task, t.title, t.state, t.reason, t.commit, t.carried, coalesce(attempts, 0), agent, model,
    t.started, t.ended, epoch_us(t.ended - t.started) / 1e6
FROM replayed LEFT JOIN tried USING (run, build, task);
