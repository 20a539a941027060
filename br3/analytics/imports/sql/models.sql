-- The names of models in the lines.
SELECT DISTINCT model FROM lines WHERE model IS NOT NULL ORDER BY model;
