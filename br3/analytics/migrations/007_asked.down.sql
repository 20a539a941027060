DELETE FROM usage WHERE source = 'asked';
COMMENT ON TABLE usage IS 'Tokens and dollars: a row per model and attempt, and per model, hour and imported session';
COMMENT ON COLUMN usage.source IS 'run, or import for sessions that br3 did not run';
