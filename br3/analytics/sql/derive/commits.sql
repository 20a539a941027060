-- Commits that hooks have seen, each by the first event that tells of it.
INSERT INTO commits
WITH told AS (
    SELECT ts, segment, seq, kind, run, build, task, data FROM events
    WHERE kind IN ('hook.commit', 'hook.merged', 'hook.rewrote', 'commit.measured')
),
made AS (
    SELECT data ->> 'commit' AS "commit", ts, run, build, task,
        coalesce(data ->> 'branch', try(decode(unhex(data ->> 'branch_hex')))) AS branch,
        coalesce(data ->> 'worktree', try(decode(unhex(data ->> 'worktree_hex')))) AS worktree, CASE kind WHEN 'hook.commit' THEN 'commit' ELSE 'merge' END AS how
    FROM told
    WHERE (kind = 'hook.commit' OR (kind = 'hook.merged' AND data ->> 'how' = 'merge')) AND data ->> 'commit' IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY data ->> 'commit' ORDER BY ts, segment, seq) = 1
),
pairs AS (
    SELECT ts, segment, seq, unnest(from_json(data -> 'pairs', '[["VARCHAR"]]')) AS pair
    FROM told WHERE kind = 'hook.rewrote'
),
replaced AS (
    SELECT pair[1] AS "commit", arg_max(pair[2], (ts, segment, seq)) AS replaced_by FROM pairs GROUP BY pair[1]
),
measured AS (
    SELECT data ->> 'commit' AS "commit", unnest(from_json(any_value(data), '{"files": "INTEGER",
        "lines_added": "BIGINT", "lines_removed": "BIGINT"}'))
    FROM told WHERE kind = 'commit.measured' GROUP BY data ->> 'commit'
)
SELECT "commit", ts, run, build, task, branch, worktree, how, files, lines_added, lines_removed, replaced_by
FROM made LEFT JOIN measured USING ("commit") LEFT JOIN replaced USING ("commit");
