-- Lines that could not be read, and messages that were written in no known place.
SELECT
    count(*) FILTER (unreadable),
    count(DISTINCT message) FILTER (NOT unreadable AND (cwd, branch) NOT IN (SELECT (cwd, branch) FROM places))
FROM (
    SELECT *, message IS NULL OR model IS NULL OR sent IS NULL OR input_tokens IS NULL AS unreadable FROM lines
);
