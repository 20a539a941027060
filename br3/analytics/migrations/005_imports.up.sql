-- Messages of sessions that br3 did not run, each once.
CREATE TABLE imports (
    agent VARCHAR NOT NULL, session VARCHAR, message VARCHAR, request VARCHAR, sent TIMESTAMP, model VARCHAR,
    build VARCHAR, branch VARCHAR, sidechain BOOLEAN, input_tokens BIGINT, output_tokens BIGINT,
    cache_write_tokens BIGINT, cache_read_tokens BIGINT, cost_usd DECIMAL(28, 10), price VARCHAR
);
COMMENT ON TABLE imports IS 'Messages of sessions that br3 did not run, each once';
COMMENT ON COLUMN imports.sent IS 'when';
COMMENT ON COLUMN imports.sidechain IS 'of a sub-agent';
COMMENT ON COLUMN imports.build IS 'by the worktree it was written in, else by its branch';
