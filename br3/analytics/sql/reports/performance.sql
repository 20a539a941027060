-- How tasks went since a moment, by {by}: how many, how well, how long, and what they took.
WITH took AS (
    SELECT run, build, task, sum(cost_usd) AS cost_usd, sum(output_tokens) AS output_tokens
    FROM usage WHERE source = 'run' AND (ts >= $since OR $since IS NULL) GROUP BY ALL
)
SELECT
    coalesce({column}, $none) AS key, count(*) AS tasks, count(*) FILTER (state = 'failed') AS failures,
    count(*) FILTER (state = 'completed') / count(*) AS success_rate, sum(attempts)::BIGINT AS attempts,
    round(sum((duration_s * 1e6)::BIGINT) / count(duration_s) / 1e6, 3) AS duration_avg_s,
    round(quantile_cont(duration_s, 0.5), 3) AS duration_p50_s,
    round(quantile_cont(duration_s, 0.95), 3) AS duration_p95_s,
    round(quantile_cont(duration_s, 0.99), 3) AS duration_p99_s,
    (sum(cost_usd) / count(cost_usd))::DECIMAL(18, 6) AS cost_per_task_usd, sum(output_tokens)::BIGINT AS output_tokens
FROM tasks LEFT JOIN took USING (run, build, task)
WHERE state IN ('completed', 'failed') AND NOT carried AND (ended >= $since OR $since IS NULL)
GROUP BY key ORDER BY tasks DESC, key;
