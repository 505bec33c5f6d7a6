-- What is awaited by a time: ends of runs, next runs of jobs.
CREATE TABLE watches (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;
-- What is remembered of each job: its last verdicts, how long it took.
CREATE TABLE histories (
    key  text PRIMARY KEY,
    at   integer NOT NULL,
    body text NOT NULL
) WITHOUT ROWID;
CREATE INDEX histories_at ON histories (at);
-- How long each edge took whose deadline is learned.
CREATE TABLE gaps (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;
