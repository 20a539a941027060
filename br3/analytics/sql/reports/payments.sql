-- What some runs took, a row per model and attempt, in the order in which it was told.
SELECT ts, build, model, cost_usd, unpriced_tokens
FROM usage SEMI JOIN (SELECT unnest($runs) AS run) USING (run)
ORDER BY ts, build, task, attempt, model, cost_usd;
