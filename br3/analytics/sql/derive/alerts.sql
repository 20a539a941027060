-- Every crossing, with when it was over: alerts that were raised, each with the next clearing of its rule.
INSERT INTO alerts
WITH told AS (
    SELECT ts, kind, segment, seq,
        from_json(data, '{"rule": "VARCHAR", "level": "VARCHAR", "message": "VARCHAR", "value": "VARCHAR",
            "threshold": "VARCHAR"}') AS d
    FROM events WHERE kind IN ('alert.raised', 'alert.cleared')
),
next AS (
    SELECT *, lead(kind) OVER in_turn AS then_kind, lead(ts) OVER in_turn AS then_ts
    FROM told WINDOW in_turn AS (PARTITION BY d.rule ORDER BY ts, segment, seq)
)
SELECT d.rule, coalesce(d.level, 'warning'), d.message, d.value, d.threshold, ts, CASE WHEN then_kind = 'alert.cleared' THEN then_ts END
FROM next WHERE kind = 'alert.raised' AND d.rule IS NOT NULL;
