-- The messages as lines of the journal, in order; $head is what stands before the number, $tail behind the build.
SELECT concat(
    $head, rowid + 1, ',"gen":0,"kind":"usage.imported","severity":"info","run":null,"build":',
    coalesce(to_json(build), 'null'), ',"task":null,"attempt":null,', $tail, ',"data":{"agent":"', agent,
    '","session":', coalesce(to_json(session), 'null'),
    ',"message":', to_json(message),
    ',"request":', coalesce(to_json(request), 'null'),
    ',"model":', to_json(model),
    ',"at":"', strftime(sent, '%Y-%m-%dT%H:%M:%S.%fZ'),
    '","input_tokens":', input_tokens,
    ',"output_tokens":', output_tokens,
    ',"cache_write_tokens":', cache_write_5m_tokens + cache_write_1h_tokens,
    ',"cache_write_1h_tokens":', cache_write_1h_tokens,
    ',"cache_read_tokens":', cache_read_tokens,
    ',"cost_usd":', coalesce('"' || cost_usd || '"', 'null'),
    ',"price":', coalesce(to_json(price), 'null'),
    ',"branch":', coalesce(to_json(nullif(branch, '')), 'null'),
    ',"sidechain":', sidechain, '}}'
)
FROM priced;
