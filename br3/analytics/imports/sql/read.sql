-- The lines of one slice that tell of usage, or of nothing that can be read.
-- A sub-agent's message may stand inside a line of its parent's, under "data". Where cache writes are told by kind,
-- their sum is what the kinds say.
INSERT INTO lines
SELECT
    $agent,
    coalesce(message.id, data.message.message.id, uuid),
    coalesce(requestId, data.message.requestId),
    sessionId,
    coalesce(cwd, ''),
    coalesce(gitBranch, ''),
    coalesce(message.model, data.message.message.model),
    CASE
        WHEN service_tier = 'batch' AND speed = 'fast' THEN 'none'
        WHEN service_tier = 'batch' THEN 'batch'
        WHEN speed = 'fast' THEN 'fast'
        ELSE 'standard'
    END,
    -- A cast to TIMESTAMP would ignore the zone. Messages from no time that can be are none.
    CASE WHEN zoned BETWEEN '2000-01-01T00:00:00Z' AND '2200-01-01T00:00:00Z' THEN make_timestamp(epoch_us(zoned)) END,
    coalesce(isSidechain, data.message.isSidechain, false),
    input_tokens,
    output_tokens,
    CASE WHEN write_5m IS NULL AND write_1h IS NULL THEN coalesce(write_all, 0) ELSE coalesce(write_5m, 0) END,
    coalesce(write_1h, 0),
    coalesce(read, 0)
FROM (
    SELECT
        * EXCLUDE (type),
        try_cast(coalesce(data.message.timestamp, "timestamp") AS TIMESTAMPTZ) AS zoned,
        coalesce(message.usage.input_tokens, data.message.message.usage.input_tokens) AS input_tokens,
        coalesce(message.usage.output_tokens, data.message.message.usage.output_tokens) AS output_tokens,
        coalesce(message.usage.cache_creation_input_tokens,
            data.message.message.usage.cache_creation_input_tokens) AS write_all,
        coalesce(message.usage.cache_creation.ephemeral_5m_input_tokens,
            data.message.message.usage.cache_creation.ephemeral_5m_input_tokens) AS write_5m,
        coalesce(message.usage.cache_creation.ephemeral_1h_input_tokens,
            data.message.message.usage.cache_creation.ephemeral_1h_input_tokens) AS write_1h,
        coalesce(message.usage.cache_read_input_tokens,
            data.message.message.usage.cache_read_input_tokens) AS read,
        coalesce(message.usage.service_tier, data.message.message.usage.service_tier) AS service_tier,
        coalesce(message.usage.speed, data.message.message.usage.speed) AS speed
    FROM read_json($file, columns = {
        type: 'VARCHAR', "timestamp": 'VARCHAR', uuid: 'VARCHAR', sessionId: 'VARCHAR', requestId: 'VARCHAR',
        cwd: 'VARCHAR', gitBranch: 'VARCHAR', isSidechain: 'BOOLEAN',
        message: 'STRUCT(id VARCHAR, model VARCHAR, usage STRUCT(
            input_tokens UINTEGER, output_tokens UINTEGER, cache_creation_input_tokens UINTEGER,
            cache_read_input_tokens UINTEGER, service_tier VARCHAR, speed VARCHAR,
            cache_creation STRUCT(ephemeral_5m_input_tokens UINTEGER, ephemeral_1h_input_tokens UINTEGER)))',
        data: 'STRUCT(message STRUCT("timestamp" VARCHAR, requestId VARCHAR, isSidechain BOOLEAN, message STRUCT(
            id VARCHAR, model VARCHAR, usage STRUCT(
            input_tokens UINTEGER, output_tokens UINTEGER, cache_creation_input_tokens UINTEGER,
            cache_read_input_tokens UINTEGER, service_tier VARCHAR, speed VARCHAR,
            cache_creation STRUCT(ephemeral_5m_input_tokens UINTEGER, ephemeral_1h_input_tokens UINTEGER)))))'
    }, format = 'newline_delimited', ignore_errors = true, maximum_object_size = $longest)
    WHERE type IS NULL OR (input_tokens IS NOT NULL AND output_tokens IS NOT NULL)
);
