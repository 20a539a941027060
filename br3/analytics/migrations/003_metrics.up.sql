-- What happened per hour, day and week (from Monday), by build, agent and model; all in UTC.
CREATE TABLE metrics_hourly (
    bucket TIMESTAMP NOT NULL, build VARCHAR, agent VARCHAR, model VARCHAR,
    tasks BIGINT NOT NULL, successes BIGINT NOT NULL, failures BIGINT NOT NULL,
    attempts BIGINT NOT NULL, attempts_failed BIGINT NOT NULL,
    errors BIGINT NOT NULL, rate_limits BIGINT NOT NULL, timeouts BIGINT NOT NULL, fallbacks BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL, cache_read_tokens BIGINT NOT NULL,
    cost_usd DECIMAL(28, 10), unpriced_tokens BIGINT NOT NULL,
    duration_avg_s DOUBLE, duration_p50_s DOUBLE, duration_p95_s DOUBLE, duration_p99_s DOUBLE
);
CREATE TABLE metrics_daily (
    bucket TIMESTAMP NOT NULL, build VARCHAR, agent VARCHAR, model VARCHAR,
    tasks BIGINT NOT NULL, successes BIGINT NOT NULL, failures BIGINT NOT NULL,
    attempts BIGINT NOT NULL, attempts_failed BIGINT NOT NULL,
    errors BIGINT NOT NULL, rate_limits BIGINT NOT NULL, timeouts BIGINT NOT NULL, fallbacks BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL, cache_read_tokens BIGINT NOT NULL,
    cost_usd DECIMAL(28, 10), unpriced_tokens BIGINT NOT NULL,
    duration_avg_s DOUBLE, duration_p50_s DOUBLE, duration_p95_s DOUBLE, duration_p99_s DOUBLE
);
CREATE TABLE metrics_weekly (
    bucket TIMESTAMP NOT NULL, build VARCHAR, agent VARCHAR, model VARCHAR,
    tasks BIGINT NOT NULL, successes BIGINT NOT NULL, failures BIGINT NOT NULL,
    attempts BIGINT NOT NULL, attempts_failed BIGINT NOT NULL,
    errors BIGINT NOT NULL, rate_limits BIGINT NOT NULL, timeouts BIGINT NOT NULL, fallbacks BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL, cache_read_tokens BIGINT NOT NULL,
    cost_usd DECIMAL(28, 10), unpriced_tokens BIGINT NOT NULL,
    duration_avg_s DOUBLE, duration_p50_s DOUBLE, duration_p95_s DOUBLE, duration_p99_s DOUBLE
);
