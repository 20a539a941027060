-- How many requests of br3's own since a moment were sent and not answered, so that nobody knows what they cost.
SELECT count(*)::BIGINT AS requests
FROM usage
WHERE source = 'asked' AND (ts >= $since OR $since IS NULL)
    AND cost_usd IS NULL AND unpriced_tokens = 0;
