-- What happened since a moment, over everything: counts, money and tokens, from the hourly metrics.
SELECT
    coalesce(sum(tasks), 0)::BIGINT AS tasks, coalesce(sum(successes), 0)::BIGINT AS successes,
    coalesce(sum(failures), 0)::BIGINT AS failures, coalesce(sum(attempts), 0)::BIGINT AS attempts,
    coalesce(sum(attempts_failed), 0)::BIGINT AS attempts_failed, coalesce(sum(errors), 0)::BIGINT AS errors,
    coalesce(sum(rate_limits), 0)::BIGINT AS rate_limits, coalesce(sum(timeouts), 0)::BIGINT AS timeouts,
    coalesce(sum(fallbacks), 0)::BIGINT AS fallbacks, sum(cost_usd) AS cost_usd,
    coalesce(sum(unpriced_tokens), 0)::BIGINT AS unpriced_tokens,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens, coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    coalesce(sum(cache_write_tokens), 0)::BIGINT AS cache_write_tokens,
    coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read_tokens
FROM {metrics} WHERE bucket >= $since OR $since IS NULL;
