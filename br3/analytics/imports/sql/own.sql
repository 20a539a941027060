-- The sessions that br3 ran, and until when.
CREATE TEMP TABLE own AS
SELECT
    unnest($sessions::VARCHAR[]) AS session,
    coalesce(make_timestamp(epoch_us(unnest($ends::VARCHAR[])::TIMESTAMPTZ)), 'infinity') AS ended;
