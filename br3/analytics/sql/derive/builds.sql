-- The touched runs' builds: their moves replayed in order, illegal ones passed over; what has not begun is pending.
INSERT INTO builds
WITH rules AS (
    SELECT map_from_entries(list((before || '>' || kind, after))) AS legal FROM moves WHERE thing = 'build'
),
told AS (
    SELECT run, build, kind, ts, turn, segment, from_json(data,
        '{"cause": "VARCHAR", "reason": "VARCHAR", "branch": "VARCHAR", "worktree": "VARCHAR", "commit": "VARCHAR"}') AS d
    FROM mine WHERE kind IN (SELECT kind FROM moves WHERE thing = 'build') AND build IS NOT NULL
),
-- Nearly all builds have legal moves only: then what was said last counts.
summed AS (
    SELECT run, build, list(kind ORDER BY turn, segment) AS kinds, arg_min(ts, turn) AS began,
        arg_max({'ts': ts, 'cause': d.cause, 'reason': d.reason}, turn) AS latest,
        arg_max(d.branch, turn) FILTER (d.branch <> '') AS branch,
        arg_max(d.worktree, turn) FILTER (d.worktree <> '') AS worktree,
        arg_max(d."commit", turn) FILTER (d."commit" <> '') AS "commit"
    FROM told GROUP BY run, build
),
walked AS (
    SELECT * EXCLUDE (kinds, legal), list_reduce(
        list_prepend('pending', kinds), lambda state, kind: coalesce(legal[state || '>' || kind], 'illegal')
    ) AS state
    FROM summed, rules
),
steps AS (
    SELECT
        run, build,
        list({
            'kind': kind, 'ts': ts, 'state': NULL::VARCHAR, 'began': NULL::TIMESTAMP, 'cause': d.cause,
            'reason': d.reason, 'branch': d.branch, 'worktree': d.worktree, 'commit': d."commit"
        } ORDER BY turn, segment) AS steps
    FROM told SEMI JOIN (SELECT run, build FROM walked WHERE state = 'illegal') USING (run, build)
    GROUP BY run, build
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
    FROM steps, rules
),
moved AS (
    SELECT run, build, state, latest.cause, latest.reason, branch, worktree, "commit", began, latest.ts
    FROM walked WHERE state <> 'illegal'
    UNION ALL
    SELECT run, build, b.state, b.cause, b.reason, b.branch, b.worktree, b."commit", b.began, b.ts FROM replayed
),
planned AS (
    SELECT DISTINCT run, unnest(from_json(data -> 'builds', '["VARCHAR"]')) AS build FROM mine WHERE kind = 'run.created'
),
quality AS (
    SELECT run, build, arg_max(from_json(data, '{"tests": {"passed": "INTEGER", "failed": "INTEGER",
        "skipped": "INTEGER"}, "coverage": "DOUBLE"}'), turn) AS q
    FROM mine WHERE kind IN ('quality.passed', 'quality.failed') AND build IS NOT NULL GROUP BY run, build
)
SELECT
    run, build, coalesce(state, 'pending'), cause, reason, branch, worktree, "commit", began,
    CASE WHEN state IN ('verified', 'failed', 'skipped', 'cancelled') THEN ts END,
    q.tests.passed, q.tests.failed, q.tests.skipped, q.coverage
FROM (SELECT * FROM planned UNION SELECT DISTINCT run, build FROM mine WHERE build IS NOT NULL)
LEFT JOIN moved USING (run, build)
LEFT JOIN quality USING (run, build);
