-- The touched runs' events from which their states are told, read once.
CREATE OR REPLACE TEMP TABLE mine AS
SELECT * FROM in_turn SEMI JOIN touched_runs USING (run)
WHERE kind IN (:telling) AND run >= :first AND run <= :last;
