-- The touched runs' builds: their moves replayed in order, illegal ones passed over; what has not begun is pending.
INSERT INTO builds
WITH rules AS (
    SELECT map_from_entries(list((before || '>' || kind, after))) AS legal FROM moves WHERE thing = 'build'
),
told AS (
    SELECT run, build, kind, turn, segment, data,
        CASE WHEN data LIKE '%"branch":"%' THEN nullif(data ->> 'branch', '') END AS branch,
        CASE WHEN data LIKE '%"worktree":"%' THEN nullif(data ->> 'worktree', '') END AS worktree,
        CASE WHEN data LIKE '%"commit":"%' THEN nullif(data ->> 'commit', '') END AS "commit"
    FROM mine WHERE kind IN (:kinds) AND build IS NOT NULL
),
-- Nearly all builds have legal moves only: then what was said last counts.
summed AS (
    SELECT run, build, list(kind ORDER BY turn, segment) AS kinds, min(turn) AS began, max(turn) AS latest,
        from_json(arg_max(data, turn), '{"cause": "VARCHAR", "reason": "VARCHAR"}') AS d,
        arg_max(branch, turn) AS branch, arg_max(worktree, turn) AS worktree, arg_max("commit", turn) AS "commit"
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
            'kind': kind, 'ts': make_timestamp((turn % 2251799813685248)::BIGINT), 'state': NULL::VARCHAR,
            'began': NULL::TIMESTAMP, 'cause': data ->> 'cause', 'reason': data ->> 'reason',
            'branch': data ->> 'branch', 'worktree': data ->> 'worktree', 'commit': data ->> 'commit'
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
    SELECT run, build, state, d.cause, d.reason, branch, worktree, "commit",
        make_timestamp((began % 2251799813685248)::BIGINT) AS began,
        make_timestamp((latest % 2251799813685248)::BIGINT) AS ts
    FROM walked WHERE state <> 'illegal'
    UNION ALL
    SELECT run, build, b.state, b.cause, b.reason, b.branch, b.worktree, b."commit", b.began, b.ts FROM replayed
),
planned AS (
    SELECT run, unnest(from_json(arg_min(data, turn) -> 'builds', '["VARCHAR"]')) AS build
    FROM mine WHERE kind = 'run.created' GROUP BY run
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
FROM (SELECT * FROM planned WHERE build IS NOT NULL UNION SELECT DISTINCT run, build FROM mine WHERE build IS NOT NULL AND kind IN (:telling))
LEFT JOIN moved USING (run, build)
LEFT JOIN quality USING (run, build);
