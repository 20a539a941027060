-- The events of whole segments, read by DuckDB itself. What is not as br3 writes it comes without a kind.
INSERT INTO events
SELECT
    regexp_extract(filename, '([^/]+?)(\.kept)?\.jsonl(\.gz)?$', 1), seq, gen, ts,
    CASE WHEN ts BETWEEN TIMESTAMP '1970-01-01' AND TIMESTAMP '9999-12-31' AND seq IS NOT NULL AND gen IS NOT NULL
            AND severity IS NOT NULL AND pid IS NOT NULL AND host IS NOT NULL AND data LIKE '{%'
            AND kind NOT LIKE '[%' AND kind NOT LIKE '{%'
            AND (run IS NULL OR (run NOT LIKE '[%' AND run NOT LIKE '{%'))
            AND (build IS NULL OR (build NOT LIKE '[%' AND build NOT LIKE '{%'))
            AND (task IS NULL OR (task NOT LIKE '[%' AND task NOT LIKE '{%'))
            AND (attempt IS NULL OR try_cast(attempt AS INTEGER) IS NOT NULL)
        THEN kind END,
    severity, run, build, task, try_cast(attempt AS INTEGER), pid, host, data
FROM read_json($files, columns = {
        ts: 'TIMESTAMP', seq: 'BIGINT', gen: 'BIGINT', kind: 'VARCHAR', severity: 'VARCHAR', run: 'VARCHAR',
        build: 'VARCHAR', task: 'VARCHAR', attempt: 'VARCHAR', pid: 'INTEGER', host: 'VARCHAR', data: 'JSON'
    }, format = 'newline_delimited', ignore_errors = true, filename = true, maximum_object_size = 8000000);
