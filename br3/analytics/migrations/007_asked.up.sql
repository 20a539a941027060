-- What br3's own requests to a model took belongs to usage too; the rows come from events that were folded long ago.
COMMENT ON TABLE usage IS 'Tokens and dollars: a row per model and attempt, per model, hour and imported session, and per request of br3''s own';
COMMENT ON COLUMN usage.source IS 'run; import for sessions that br3 did not run; asked for what br3 itself asked, as estimate --ai does';
