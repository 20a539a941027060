-- Events with their order as one number: generation of the lock, number in the segment, time.
CREATE OR REPLACE TEMP VIEW in_turn AS
SELECT
    ts, kind, run, build, task, attempt, data, segment,
    least(greatest(gen, 0), 68719476735)::HUGEINT * 2475880078570760549798248448::HUGEINT
        + least(greatest(seq, 0), 1099511627775)::HUGEINT * 2251799813685248::HUGEINT + epoch_us(ts) AS turn
FROM events;
