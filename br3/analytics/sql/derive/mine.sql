-- The touched runs' events from which their states are told; ``turn`` is their order: generation, number, time.
CREATE OR REPLACE TEMP {kind} mine AS
SELECT
    ts, kind, run, build, task, attempt, data, segment,
    least(greatest(gen, 0), 68719476735)::HUGEINT * 2475880078570760549798248448::HUGEINT
        + least(greatest(seq, 0), 1099511627775)::HUGEINT * 2251799813685248::HUGEINT + epoch_us(ts) AS turn
FROM events SEMI JOIN touched_runs USING (run)
WHERE kind IN ({kinds}) AND run >= '{first}' AND run <= '{last}';
