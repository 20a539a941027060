-- Which of some segments tell of a run that has not ended.
SELECT DISTINCT segment
FROM events SEMI JOIN (SELECT unnest($names) AS segment) USING (segment)
LEFT JOIN runs USING (run)
WHERE run IS NOT NULL AND coalesce(state, '') NOT IN ('completed', 'failed', 'cancelled');
