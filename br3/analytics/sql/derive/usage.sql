-- What the touched runs' attempts took, with whose it is and how long the attempt was.
INSERT INTO usage
SELECT
    'run', run, build, task, attempt, a.session, a.agent, t.model, t.ts, t.input_tokens, t.output_tokens,
    t.cache_write_tokens, t.cache_read_tokens, t.cost_usd, t.unpriced_tokens, t.price_source, t.price, a.duration_s
FROM taken AS t
LEFT JOIN (SELECT * FROM attempts SEMI JOIN touched_runs USING (run)) AS a USING (run, build, task, attempt);
