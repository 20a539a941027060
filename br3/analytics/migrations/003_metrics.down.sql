DROP TABLE IF EXISTS metrics_weekly;
DROP TABLE IF EXISTS metrics_daily;
DROP TABLE IF EXISTS metrics_hourly;
