-- The messages in sessions that br3 ran, up to when these ended; they may stand in copies of the sessions as well.
CREATE TEMP TABLE own AS
SELECT DISTINCT agent, message
FROM lines
JOIN (SELECT unnest($sessions::VARCHAR[]) AS session, unnest($ends::VARCHAR[])::TIMESTAMPTZ AS ended) USING (session)
WHERE ended IS NULL OR sent <= make_timestamp(epoch_us(ended));
