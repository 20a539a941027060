-- Whose the origins are, over time; what lies in no known place is not among them.
CREATE TEMP TABLE places AS
SELECT
    unnest($cwds::VARCHAR[]) AS cwd, unnest($branches::VARCHAR[]) AS branch,
    unnest($sinces::VARCHAR[])::TIMESTAMP AS since, unnest($untils::VARCHAR[])::TIMESTAMP AS until,
    unnest($builds::VARCHAR[]) AS build;
