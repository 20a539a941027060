-- What the journal says, and how far it has been read. No key on events: the offsets keep them from coming twice.
CREATE TABLE schema_migrations (number INTEGER NOT NULL, name VARCHAR NOT NULL, applied TIMESTAMP NOT NULL);
CREATE TABLE settings (name VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE segments (segment VARCHAR NOT NULL, folded BIGINT NOT NULL, pruned BOOLEAN NOT NULL);
CREATE TABLE events (
    segment VARCHAR, seq BIGINT, gen BIGINT, ts TIMESTAMP, kind VARCHAR, severity VARCHAR,
    run VARCHAR, build VARCHAR, task VARCHAR, attempt INTEGER, pid INTEGER, host VARCHAR, data JSON
);
CREATE TABLE rejected (segment VARCHAR NOT NULL, "offset" BIGINT NOT NULL, reason VARCHAR NOT NULL, line VARCHAR);
