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
    started TIMESTAMP, ended TIMESTAMP, duration_s DOUBLE
);
CREATE TABLE attempts (
    run VARCHAR NOT NULL, build VARCHAR NOT NULL, task VARCHAR NOT NULL, attempt INTEGER NOT NULL, agent VARCHAR,
    model VARCHAR, session VARCHAR, state VARCHAR NOT NULL, cause VARCHAR, exit_code INTEGER,
    started TIMESTAMP, ended TIMESTAMP, duration_s DOUBLE
);
CREATE TABLE usage (
    source VARCHAR NOT NULL, run VARCHAR, build VARCHAR, task VARCHAR, attempt INTEGER, session VARCHAR,
    agent VARCHAR, model VARCHAR, ts TIMESTAMP NOT NULL, input_tokens BIGINT, output_tokens BIGINT,
    cache_write_tokens BIGINT, cache_read_tokens BIGINT, cost_usd DECIMAL(18, 10), unpriced_tokens BIGINT NOT NULL,
    price_source VARCHAR, price VARCHAR, duration_s DOUBLE
);
