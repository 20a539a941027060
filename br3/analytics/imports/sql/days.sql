-- What prices are asked for.
SELECT DISTINCT model, mode, sent::DATE AS day FROM messages ORDER BY model, mode, day;
