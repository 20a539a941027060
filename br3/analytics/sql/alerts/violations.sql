-- Security violations of which no alert tells yet.
SELECT segment || ':' || seq, severity, build, data ->> 'rule', data ->> 'message'
FROM events
WHERE kind = 'security.violation'
    AND 'violation ' || segment || ':' || seq NOT IN (SELECT rule FROM alerts)
ORDER BY ts, segment, seq;
