-- What br3 itself asked of models, a row per request.
INSERT INTO usage
SELECT
    'asked', NULL, NULL, NULL, NULL, NULL, NULL, model, ts, input_tokens, output_tokens, cache_write_tokens,
    cache_read_tokens, cost_usd, unpriced_tokens, price_source, price, NULL
FROM taken;
