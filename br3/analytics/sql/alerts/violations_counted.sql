-- How many security violations there are, and of how many an alert tells.
SELECT
    (SELECT count(*) FROM events WHERE kind = 'security.violation'),
    (SELECT count(*) FROM alerts WHERE starts_with(rule, 'violation '));
