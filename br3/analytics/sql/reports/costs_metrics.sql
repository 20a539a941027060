-- Money and tokens since a moment by {by}, from metrics.
SELECT
    coalesce({column}, $none) AS key, sum(cost_usd) AS cost_usd, sum(unpriced_tokens)::BIGINT AS unpriced_tokens,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cache_write_tokens)::BIGINT AS cache_write_tokens, sum(cache_read_tokens)::BIGINT AS cache_read_tokens
FROM {metrics}
WHERE (bucket >= $since OR $since IS NULL)
    AND (cost_usd IS NOT NULL OR input_tokens + output_tokens + cache_write_tokens + cache_read_tokens > 0)
GROUP BY key ORDER BY {order};
