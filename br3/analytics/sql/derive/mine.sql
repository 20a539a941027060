-- The touched runs' events from which their states are told.
CREATE OR REPLACE TEMP TABLE mine AS
SELECT segment, seq, gen, ts, kind, run, build, task, attempt, data
FROM events SEMI JOIN touched_runs USING (run)
WHERE kind IN (SELECT unnest($kinds));
