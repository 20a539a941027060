-- The touched runs: their moves replayed in order, illegal ones passed over.
INSERT INTO runs
WITH steps AS (
    SELECT
        run,
        list({
            'kind': kind, 'ts': ts, 'state': NULL::VARCHAR, 'started': NULL::TIMESTAMP, 'created': NULL::TIMESTAMP,
            'reason': d.reason, 'plan': d.plan, 'base': d.base,
            'continues': d.continues
        } ORDER BY turn, segment) AS steps
    FROM (
        SELECT *, from_json(data, '{"reason": "VARCHAR", "plan": "VARCHAR", "base": "VARCHAR", "continues": "VARCHAR"}') AS d FROM mine
        WHERE kind IN (:kinds)
    )
    GROUP BY ALL
),
replayed AS (
    SELECT run,
        list_reduce(
            list_prepend({
                'kind': '', 'ts': NULL::TIMESTAMP, 'state': '', 'started': NULL::TIMESTAMP,
                'created': NULL::TIMESTAMP, 'reason': NULL::VARCHAR, 'plan': NULL::VARCHAR, 'base': NULL::VARCHAR,
                'continues': NULL::VARCHAR
            }, steps),
            lambda a, e: CASE WHEN legal[a.state || '>' || e.kind] IS NULL THEN a ELSE {
                'kind': e.kind, 'ts': e.ts, 'state': legal[a.state || '>' || e.kind],
                'started': coalesce(a.started, CASE WHEN e.kind = 'run.started' THEN e.ts END),
                'created': coalesce(a.created, CASE WHEN e.kind = 'run.created' THEN e.ts END),
                'reason': CASE WHEN e.kind IN ('run.completed', 'run.failed', 'run.cancelled') THEN e.reason ELSE a.reason END, 'plan': coalesce(a.plan, CASE WHEN e.kind = 'run.created' THEN e.plan END),
                'base': coalesce(a.base, CASE WHEN e.kind = 'run.created' THEN e.base END),
                'continues': coalesce(a.continues, CASE WHEN e.kind = 'run.created' THEN nullif(e.continues, '') END)
            } END
        ) AS r
    FROM steps, (SELECT map_from_entries(list((before || '>' || kind, after))) AS legal FROM moves WHERE thing = 'run')
)
SELECT
    run, r.plan, r.state, r.reason, r.base, r.continues, r.created, r.started,
    CASE WHEN r.state IN ('completed', 'failed', 'cancelled') THEN r.ts END, coalesce(n, 0)
FROM touched_runs
LEFT JOIN replayed USING (run)
LEFT JOIN (SELECT run, count(*) AS n FROM builds SEMI JOIN touched_runs USING (run) GROUP BY run) USING (run);
