-- Money and tokens since a moment by {by}, of all runs or of some, from usage.
SELECT
    coalesce({column}, $none) AS key, sum(cost_usd) AS cost_usd, sum(unpriced_tokens)::BIGINT AS unpriced_tokens,
    coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens, coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
    coalesce(sum(cache_write_tokens), 0)::BIGINT AS cache_write_tokens,
    coalesce(sum(cache_read_tokens), 0)::BIGINT AS cache_read_tokens
FROM usage
WHERE (ts >= $since OR $since IS NULL) AND ($runs IS NULL OR list_contains($runs::VARCHAR[], run))
GROUP BY key ORDER BY {order};
