-- What happened per hour, day and week (from Monday), by build, agent and model; all in UTC.
CREATE TABLE metrics_hourly (
    bucket TIMESTAMP NOT NULL, build VARCHAR, agent VARCHAR, model VARCHAR,
    tasks BIGINT NOT NULL, successes BIGINT NOT NULL, failures BIGINT NOT NULL,
    attempts BIGINT NOT NULL, attempts_failed BIGINT NOT NULL,
    errors BIGINT NOT NULL, rate_limits BIGINT NOT NULL, timeouts BIGINT NOT NULL, fallbacks BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL, cache_read_tokens BIGINT NOT NULL,
    cost_usd DECIMAL(38, 10), unpriced_tokens BIGINT NOT NULL,
    duration_avg_s DOUBLE, duration_p50_s DOUBLE, duration_p95_s DOUBLE, duration_p99_s DOUBLE
);
CREATE TABLE metrics_daily (
    bucket TIMESTAMP NOT NULL, build VARCHAR, agent VARCHAR, model VARCHAR,
    tasks BIGINT NOT NULL, successes BIGINT NOT NULL, failures BIGINT NOT NULL,
    attempts BIGINT NOT NULL, attempts_failed BIGINT NOT NULL,
    errors BIGINT NOT NULL, rate_limits BIGINT NOT NULL, timeouts BIGINT NOT NULL, fallbacks BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL, cache_read_tokens BIGINT NOT NULL,
    cost_usd DECIMAL(38, 10), unpriced_tokens BIGINT NOT NULL,
    duration_avg_s DOUBLE, duration_p50_s DOUBLE, duration_p95_s DOUBLE, duration_p99_s DOUBLE
);
CREATE TABLE metrics_weekly (
    bucket TIMESTAMP NOT NULL, build VARCHAR, agent VARCHAR, model VARCHAR,
    tasks BIGINT NOT NULL, successes BIGINT NOT NULL, failures BIGINT NOT NULL,
    attempts BIGINT NOT NULL, attempts_failed BIGINT NOT NULL,
    errors BIGINT NOT NULL, rate_limits BIGINT NOT NULL, timeouts BIGINT NOT NULL, fallbacks BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL, cache_read_tokens BIGINT NOT NULL,
    cost_usd DECIMAL(38, 10), unpriced_tokens BIGINT NOT NULL,
    duration_avg_s DOUBLE, duration_p50_s DOUBLE, duration_p95_s DOUBLE, duration_p99_s DOUBLE
);
COMMENT ON TABLE metrics_hourly IS 'What happened in each hour, by build, agent and model';
COMMENT ON COLUMN metrics_hourly.bucket IS 'when it begins, UTC';
COMMENT ON COLUMN metrics_hourly.tasks IS 'that ended';
COMMENT ON COLUMN metrics_hourly.duration_avg_s IS 'of tasks';
COMMENT ON COLUMN metrics_hourly.cost_usd IS 'what is known; NULL: nothing is';
COMMENT ON TABLE metrics_daily IS 'What happened on each day, by build, agent and model';
COMMENT ON COLUMN metrics_daily.bucket IS 'when it begins, UTC';
COMMENT ON COLUMN metrics_daily.tasks IS 'that ended';
COMMENT ON COLUMN metrics_daily.duration_avg_s IS 'of tasks';
COMMENT ON COLUMN metrics_daily.cost_usd IS 'what is known; NULL: nothing is';
COMMENT ON TABLE metrics_weekly IS 'What happened in each week, from Monday, by build, agent and model';
COMMENT ON COLUMN metrics_weekly.bucket IS 'when it begins, UTC';
COMMENT ON COLUMN metrics_weekly.tasks IS 'that ended';
COMMENT ON COLUMN metrics_weekly.duration_avg_s IS 'of tasks';
COMMENT ON COLUMN metrics_weekly.cost_usd IS 'what is known; NULL: nothing is';
