-- Prices by model, mode, day and length of the prompt, in whole units per token.
CREATE TEMP TABLE prices AS
SELECT
    unnest($models::VARCHAR[]) AS model, unnest($modes::VARCHAR[]) AS mode, unnest($days::DATE[]) AS day,
    unnest($shortest::BIGINT[]) AS shortest, unnest($longest::BIGINT[]) AS longest, unnest($ids::VARCHAR[]) AS price,
    unnest($input::HUGEINT[]) AS input, unnest($output::HUGEINT[]) AS output,
    unnest($cache_write_5m::HUGEINT[]) AS cache_write_5m, unnest($cache_write_1h::HUGEINT[]) AS cache_write_1h,
    unnest($cache_read::HUGEINT[]) AS cache_read;
