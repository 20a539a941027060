-- What a side chain replays it has from its parent, or another side chain has it too: one report of it stays.
DELETE FROM messages WHERE rowid IN (
    SELECT copy.rowid
    FROM messages AS copy
    JOIN messages AS better ON better.agent = copy.agent AND better.message = copy.message
    WHERE copy.sidechain AND (
        NOT better.sidechain
        OR (better.output_tokens, better.prompt_tokens, coalesce(better.request, ''))
            > (copy.output_tokens, copy.prompt_tokens, coalesce(copy.request, ''))
    )
);
