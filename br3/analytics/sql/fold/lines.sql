-- The events on lines that carry their segment and number in front, as ``folding`` has written them down.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT
    "br3:segment" AS segment, "br3:number" AS seq, coalesce(gen, 0) AS gen, ts, kind, coalesce(severity, 'info') AS severity,
    run, build, task, attempt, coalesce(pid, 0) AS pid, coalesce(host, '') AS host, coalesce(data, '{}') AS data
FROM read_json($file, columns = {
        "br3:segment": 'VARCHAR', "br3:number": 'BIGINT', ts: 'TIMESTAMP', gen: 'BIGINT', kind: 'VARCHAR',
        severity: 'VARCHAR', run: 'VARCHAR', build: 'VARCHAR', task: 'VARCHAR', attempt: 'INTEGER', pid: 'INTEGER',
        host: 'VARCHAR', data: 'JSON'
    }, format = 'newline_delimited', ignore_errors = true, maximum_object_size = 33554432)
WHERE ts BETWEEN TIMESTAMP '1970-01-01' AND TIMESTAMP '9999-12-31' AND kind IS NOT NULL;
