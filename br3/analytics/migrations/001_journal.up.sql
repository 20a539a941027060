-- What the journal says, and how far it has been read. No key on events: the offsets keep them from coming twice.
CREATE TABLE schema_migrations (number INTEGER NOT NULL, name VARCHAR NOT NULL, applied TIMESTAMP NOT NULL);
CREATE TABLE settings (name VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE segments (segment VARCHAR NOT NULL, folded BIGINT NOT NULL, pruned BOOLEAN);
CREATE TABLE events (
    segment VARCHAR, seq BIGINT, gen BIGINT, ts TIMESTAMP, kind VARCHAR, severity VARCHAR,
    run VARCHAR, build VARCHAR, task VARCHAR, attempt INTEGER, pid INTEGER, host VARCHAR, data JSON
);
CREATE TABLE rejected (segment VARCHAR NOT NULL, "offset" BIGINT NOT NULL, reason VARCHAR NOT NULL, line VARCHAR);
COMMENT ON TABLE schema_migrations IS 'The shapes that were applied';
COMMENT ON TABLE settings IS 'Notes of the fold to itself';
COMMENT ON TABLE segments IS 'How far each segment of the journal has been taken up';
COMMENT ON COLUMN segments.folded IS 'bytes';
COMMENT ON COLUMN segments.pruned IS 'its chatter has been dropped; NULL: not seen in the archive yet';
COMMENT ON TABLE events IS 'Every event, as it was written';
COMMENT ON COLUMN events.segment IS 'its file in the journal, without the ending';
COMMENT ON COLUMN events.seq IS 'its number there; segment and seq are its id';
COMMENT ON COLUMN events.gen IS 'the generation of the lock it was written under';
COMMENT ON COLUMN events.ts IS 'UTC, like every time here';
COMMENT ON COLUMN events.data IS 'what belongs to its kind';
COMMENT ON TABLE rejected IS 'Lines of the journal that are no events';
COMMENT ON COLUMN rejected."offset" IS 'where the line begins, in bytes';
COMMENT ON COLUMN rejected.line IS 'its beginning, redacted';
