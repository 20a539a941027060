-- Crossings of thresholds, and what was expected of builds before they ran.
CREATE TABLE alerts (
    rule VARCHAR NOT NULL, level VARCHAR NOT NULL, message VARCHAR, value VARCHAR, threshold VARCHAR,
    raised TIMESTAMP NOT NULL, cleared TIMESTAMP
);
CREATE TABLE estimates (
    ts TIMESTAMP NOT NULL, run VARCHAR, build VARCHAR, task VARCHAR, model VARCHAR, score DOUBLE, level VARCHAR,
    critical BOOLEAN, minutes_p50 DOUBLE, minutes_p90 DOUBLE,
    cost_p50_usd DECIMAL(28, 10), cost_p90_usd DECIMAL(28, 10), data JSON
);
COMMENT ON TABLE alerts IS 'Thresholds that were crossed';
COMMENT ON COLUMN alerts.rule IS 'success_rate, error_rate, duration_avg, duration_p95, hourly_cost, daily_cost, or violation and its event';
COMMENT ON COLUMN alerts.level IS 'warning, error, critical';
COMMENT ON COLUMN alerts.cleared IS 'when it was within its threshold again';
COMMENT ON TABLE estimates IS 'What builds were expected to take before they ran';
