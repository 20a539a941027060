-- Whether any of the fresh messages comes twice, or is there already.
SELECT (SELECT count(*) FROM fresh_imports) > (SELECT count(*) FROM (SELECT DISTINCT agent, message FROM fresh_imports))
    OR EXISTS (SELECT 1 FROM imports SEMI JOIN fresh_imports USING (agent, message));
