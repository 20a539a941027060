-- Alerts of a level, or all; those that stand first, the newest first.
SELECT rule, level, message, value, threshold, raised, cleared
FROM alerts WHERE $level IS NULL OR level = $level
ORDER BY cleared IS NOT NULL, raised DESC, rule;
