COMMENT ON TABLE usage IS 'Tokens and dollars: a row per model and attempt, per model, hour and imported session, and per request of br3''s own';
