-- What some security violations say.
SELECT segment || ':' || seq, severity, build, data ->> 'rule', data ->> 'message'
FROM events SEMI JOIN (SELECT unnest($segments) AS segment, unnest($numbers) AS seq) USING (segment, seq)
WHERE kind = 'security.violation'
ORDER BY ts, segment, seq;
