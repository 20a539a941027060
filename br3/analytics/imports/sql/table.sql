-- The lines that tell of usage, as they stand in transcripts; one without a message is one that could not be read.
CREATE TEMP TABLE lines (
    agent VARCHAR, message VARCHAR, request VARCHAR, session VARCHAR, cwd VARCHAR, branch VARCHAR, model VARCHAR,
    mode VARCHAR, sent TIMESTAMP, sidechain BOOLEAN, input_tokens BIGINT, output_tokens BIGINT,
    cache_write_5m_tokens BIGINT, cache_write_1h_tokens BIGINT, cache_read_tokens BIGINT
);
