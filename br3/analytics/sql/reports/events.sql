-- The newest events of which all that is asked for holds.
SELECT segment || ':' || seq AS id, ts, seq, gen, kind, severity, run, build, task, attempt, pid, host, data
FROM events
WHERE ($kind IS NULL OR kind = $kind OR kind LIKE replace($kind, '_', '\_') || '.%' ESCAPE '\')
    AND ($build IS NULL OR build = $build) AND ($run IS NULL OR run = $run) AND ($since IS NULL OR ts >= $since)
ORDER BY ts DESC, segment DESC, seq DESC LIMIT $count;
