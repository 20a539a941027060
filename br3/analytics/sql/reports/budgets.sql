-- What some runs' builds have spent, and how many of their tasks are done.
SELECT
    build, sum(cost_usd) AS cost_usd, sum(unpriced)::BIGINT AS unpriced_tokens, sum(done)::BIGINT AS tasks_done
FROM (
    SELECT build, cost_usd, unpriced_tokens AS unpriced, 0 AS done
    FROM usage SEMI JOIN (SELECT unnest($runs) AS run) USING (run)
    UNION ALL
    SELECT build, NULL, 0, 1
    FROM tasks SEMI JOIN (SELECT unnest($runs) AS run) USING (run)
    WHERE state = 'completed' AND NOT carried AND task <> 'repair'
)
GROUP BY build ORDER BY build;
