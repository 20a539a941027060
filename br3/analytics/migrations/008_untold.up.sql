-- A report that says neither tokens nor dollars is told apart from the others of its attempt.
COMMENT ON TABLE usage IS 'Tokens and dollars: a row per model and attempt (reports that say neither have one of their own), per model, hour and imported session, and per request of br3''s own';
