-- States as replaying the events gives them, and what each attempt took.
CREATE TABLE runs (
    run VARCHAR NOT NULL, plan VARCHAR, state VARCHAR, reason VARCHAR, base VARCHAR, continues VARCHAR,
    created TIMESTAMP, started TIMESTAMP, ended TIMESTAMP, builds INTEGER
);
CREATE TABLE builds (
    run VARCHAR NOT NULL, build VARCHAR NOT NULL, state VARCHAR NOT NULL, cause VARCHAR, reason VARCHAR,
    branch VARCHAR, worktree VARCHAR, "commit" VARCHAR, started TIMESTAMP, ended TIMESTAMP,
    tests_passed INTEGER, tests_failed INTEGER, tests_skipped INTEGER, coverage DOUBLE
);
CREATE TABLE tasks (
    run VARCHAR NOT NULL, build VARCHAR NOT NULL, task VARCHAR NOT NULL, title VARCHAR, state VARCHAR NOT NULL,
    reason VARCHAR, "commit" VARCHAR, carried BOOLEAN NOT NULL, attempts INTEGER NOT NULL, agent VARCHAR, model VARCHAR,
    started TIMESTAMP, ended TIMESTAMP, duration_s DOUBLE, cost_usd DECIMAL(28, 10), output_tokens BIGINT
);
CREATE TABLE attempts (
    run VARCHAR NOT NULL, build VARCHAR NOT NULL, task VARCHAR NOT NULL, attempt INTEGER NOT NULL, agent VARCHAR,
    model VARCHAR, session VARCHAR, state VARCHAR NOT NULL, cause VARCHAR, exit_code INTEGER,
    started TIMESTAMP, ended TIMESTAMP, duration_s DOUBLE
);
CREATE TABLE usage (
    source VARCHAR NOT NULL, run VARCHAR, build VARCHAR, task VARCHAR, attempt INTEGER, session VARCHAR,
    agent VARCHAR, model VARCHAR, ts TIMESTAMP NOT NULL, input_tokens BIGINT, output_tokens BIGINT,
    cache_write_tokens BIGINT, cache_read_tokens BIGINT, cost_usd DECIMAL(28, 10), unpriced_tokens BIGINT NOT NULL,
    price_source VARCHAR, price VARCHAR, duration_s DOUBLE
);
COMMENT ON TABLE runs IS 'One execution of a plan each, as its events tell it';
COMMENT ON COLUMN runs.state IS 'created, running, paused, completed, failed, cancelled';
COMMENT ON COLUMN runs.continues IS 'the run whose work it goes on with';
COMMENT ON COLUMN runs.builds IS 'how many';
COMMENT ON TABLE builds IS 'The builds of each run';
COMMENT ON COLUMN builds.state IS 'pending, preparing, running, verifying, verified, failed, skipped, cancelled';
COMMENT ON COLUMN builds."commit" IS 'what was verified';
COMMENT ON COLUMN builds.coverage IS 'percent';
COMMENT ON TABLE tasks IS 'The tasks of each build; repair is what mends a failed verification';
COMMENT ON COLUMN tasks.state IS 'pending, running, completed, failed, skipped';
COMMENT ON COLUMN tasks.carried IS 'an earlier run completed it';
COMMENT ON COLUMN tasks.agent IS 'of its last attempt';
COMMENT ON COLUMN tasks.model IS 'of its last attempt';
COMMENT ON COLUMN tasks.duration_s IS 'from its start to its end, all attempts';
COMMENT ON COLUMN tasks.cost_usd IS 'of all attempts, as far as it is known';
COMMENT ON TABLE attempts IS 'Every agent that was started';
COMMENT ON COLUMN attempts.model IS 'the one that wrote the most';
COMMENT ON COLUMN attempts.session IS 'of the agent, as its own transcripts name it';
COMMENT ON COLUMN attempts.state IS 'running, succeeded, failed';
COMMENT ON COLUMN attempts.cause IS 'why it failed';
COMMENT ON TABLE usage IS 'Tokens and dollars: a row per model and attempt, and per model, hour and imported session';
COMMENT ON COLUMN usage.source IS 'run, or import for sessions that br3 did not run';
COMMENT ON COLUMN usage.input_tokens IS 'without those of the cache';
COMMENT ON COLUMN usage.cost_usd IS 'what is known; NULL: nothing is';
COMMENT ON COLUMN usage.unpriced_tokens IS 'tokens without a known price';
COMMENT ON COLUMN usage.price_source IS 'agent: it said so; table: by the price in price';
COMMENT ON COLUMN usage.duration_s IS 'of the attempt';
