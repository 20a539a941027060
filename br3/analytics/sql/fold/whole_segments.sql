-- The events of whole segments, read by DuckDB itself. A line that is no event comes as a row of NULLs.
INSERT INTO events
SELECT
    regexp_extract(filename, '([^/]+?)(\.kept)?\.jsonl(\.gz)?$', 1), seq, coalesce(gen, 0), ts, kind,
    coalesce(severity, 'info'), run, build, task, attempt, coalesce(pid, 0), coalesce(host, ''), coalesce(data, '{}')
FROM read_json($files, columns = {
        ts: 'TIMESTAMP', seq: 'BIGINT', gen: 'BIGINT', kind: 'VARCHAR', severity: 'VARCHAR', run: 'VARCHAR',
        build: 'VARCHAR', task: 'VARCHAR', attempt: 'INTEGER', pid: 'INTEGER', host: 'VARCHAR', data: 'JSON'
    }, format = 'newline_delimited', ignore_errors = true, filename = true);
