-- The events on lines that carry their segment and number in front, as ``folding`` has written them down.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT
    "segment", "number" AS seq, coalesce(gen, 0) AS gen, ts, kind, coalesce(severity, 'info') AS severity,
    run, build, task, attempt, coalesce(pid, 0) AS pid, coalesce(host, '') AS host, coalesce(data, '{}') AS data
FROM read_json($file, columns = {
        "segment": 'VARCHAR', "number": 'BIGINT', ts: 'TIMESTAMP', gen: 'BIGINT', kind: 'VARCHAR',
        severity: 'VARCHAR', run: 'VARCHAR', build: 'VARCHAR', task: 'VARCHAR', attempt: 'INTEGER', pid: 'INTEGER',
        host: 'VARCHAR', data: 'JSON'
    }, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 33554432)
WHERE ts IS NOT NULL AND kind IS NOT NULL;
