-- The touched runs' builds: their moves replayed in order, illegal ones passed over; what has not begun is pending.
INSERT INTO builds
WITH steps AS (
    SELECT
        run, build,
        list({
            'kind': kind, 'ts': ts, 'state': NULL::VARCHAR, 'began': NULL::TIMESTAMP,
            'cause': data ->> 'cause', 'reason': data ->> 'reason', 'branch': data ->> 'branch',
            'worktree': data ->> 'worktree', 'commit': data ->> 'commit'
        } ORDER BY gen, seq, ts, segment) AS steps
    FROM mine
    WHERE kind IN (SELECT kind FROM moves WHERE thing = 'build') AND build IS NOT NULL
    GROUP BY ALL
),
replayed AS (
    SELECT run, build,
        list_reduce(
            list_prepend({
                'kind': '', 'ts': NULL::TIMESTAMP, 'state': 'pending', 'began': NULL::TIMESTAMP, 'cause': NULL::VARCHAR,
                'reason': NULL::VARCHAR, 'branch': NULL::VARCHAR, 'worktree': NULL::VARCHAR, 'commit': NULL::VARCHAR
            }, steps),
            lambda a, e: CASE WHEN legal[a.state || '>' || e.kind] IS NULL THEN a ELSE {
                'kind': e.kind, 'ts': e.ts, 'state': legal[a.state || '>' || e.kind],
                'began': coalesce(a.began, e.ts), 'cause': e.cause, 'reason': e.reason,
                'branch': coalesce(nullif(e.branch, ''), a.branch),
                'worktree': coalesce(nullif(e.worktree, ''), a.worktree),
                'commit': coalesce(nullif(e.commit, ''), a.commit)
            } END
        ) AS b
    FROM steps, (SELECT map_from_entries(list((before || '>' || kind, after))) AS legal FROM moves WHERE thing = 'build')
),
planned AS (
    SELECT DISTINCT run, unnest(from_json(data -> 'builds', '["VARCHAR"]')) AS build
    FROM mine WHERE kind = 'run.created'
),
told AS (
    SELECT DISTINCT run, build FROM mine WHERE build IS NOT NULL
),
quality AS (
    SELECT run, build, arg_max(from_json(data, '{"tests": {"passed": "INTEGER", "failed": "INTEGER",
        "skipped": "INTEGER"}, "coverage": "DOUBLE"}'), (gen, seq, ts, segment)) AS q
    FROM mine
    WHERE kind IN ('quality.passed', 'quality.failed') AND build IS NOT NULL GROUP BY run, build
)
SELECT
    run, build, coalesce(b.state, 'pending'), b.cause, b.reason, b.branch, b.worktree, b.commit, b.began,
    CASE WHEN b.state IN ('verified', 'failed', 'skipped', 'cancelled') THEN b.ts END,
    q.tests.passed, q.tests.failed, q.tests.skipped, q.coverage
FROM (SELECT * FROM planned UNION SELECT * FROM told)
LEFT JOIN replayed USING (run, build)
LEFT JOIN quality USING (run, build);
