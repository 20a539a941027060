-- How tasks went since a moment, by {by}: how many, how well, how long, and what they took.
SELECT
    key, tasks, failures, successes / tasks AS success_rate, attempts,
    round(us / timed / 1e6, 3) AS duration_avg_s, round(quantiles[1], 3) AS duration_p50_s,
    round(quantiles[2], 3) AS duration_p95_s, round(quantiles[3], 3) AS duration_p99_s,
    (cost_usd / priced)::DECIMAL(18, 6) AS cost_per_task_usd, output_tokens
FROM (
    SELECT
        coalesce({column}, $none) AS key, count(*) AS tasks, count(*) FILTER (state = 'failed') AS failures,
        count(*) FILTER (state = 'completed') AS successes, sum(attempts)::BIGINT AS attempts,
        sum((duration_s * 1e6)::BIGINT) AS us, count(duration_s) AS timed,
        quantile_cont(duration_s, [0.5, 0.95, 0.99]) AS quantiles,
        sum(cost_usd) AS cost_usd, count(cost_usd) AS priced, sum(output_tokens)::BIGINT AS output_tokens
    FROM tasks
    WHERE state IN ('completed', 'failed') AND NOT carried AND (ended >= $since OR $since IS NULL)
    GROUP BY key
)
ORDER BY tasks DESC, key;
