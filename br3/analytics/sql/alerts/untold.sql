-- Security violations of which no alert tells yet; looked for by number alone, their text lies all over the file.
SELECT segment, seq
FROM events ANTI JOIN (
    SELECT split_part(rule, ' ', 2) AS event FROM alerts WHERE starts_with(rule, 'violation ')
) ON event = segment || ':' || seq
WHERE kind = 'security.violation';
