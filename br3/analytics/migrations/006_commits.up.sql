-- Commits that hooks have seen being made.
CREATE TABLE commits (
    "commit" VARCHAR NOT NULL, made TIMESTAMP NOT NULL, run VARCHAR, build VARCHAR, task VARCHAR, branch VARCHAR,
    worktree VARCHAR, how VARCHAR NOT NULL, files INTEGER, lines_added BIGINT, lines_removed BIGINT, replaced_by VARCHAR
);
COMMENT ON TABLE commits IS 'Commits that hooks have seen being made, each once';
COMMENT ON COLUMN commits.worktree IS 'as git names the linked worktree; NULL: the main one';
COMMENT ON COLUMN commits.how IS 'commit, merge';
COMMENT ON COLUMN commits.files IS 'changed; NULL when not known, or of a merge';
COMMENT ON COLUMN commits.replaced_by IS 'the commit that an amend or a rebase put in its place';
