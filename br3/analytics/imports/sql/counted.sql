-- The names under which there is usage of a model.
CREATE TEMP TABLE counted AS SELECT unnest($models::VARCHAR[]) AS model;
