-- What pages and figures are read from. Times are epoch milliseconds.

-- What the rules last made of a job.
ALTER TABLE jobs ADD COLUMN owner text;
ALTER TABLE jobs ADD COLUMN service text;
ALTER TABLE jobs ADD COLUMN stage text;
ALTER TABLE jobs ADD COLUMN severity text;
-- How it fares by its last runs.
ALTER TABLE jobs ADD COLUMN health text;
CREATE INDEX jobs_owner ON jobs (owner);

-- The release that a run belongs to.
ALTER TABLE runs ADD COLUMN release text;
ALTER TABLE runs ADD COLUMN pending_at bigint;
CREATE INDEX runs_release ON runs (release) WHERE release IS NOT NULL;
-- Few, and what most pages are about.
CREATE INDEX runs_bad ON runs (finished_at, job_id) WHERE verdict IN ('fail', 'infra', 'soft-fail');

-- Who releases, or owns jobs that release nothing; `strip` is the last runs, the oldest first.
CREATE TABLE services (
    name    text PRIMARY KEY,
    last_at bigint NOT NULL,
    strip   text NOT NULL
) WITHOUT ROWID;
-- How many runs ended, by UTC day in days since 1970. Kept for ever.
CREATE TABLE service_days (
    service text NOT NULL,
    day     bigint NOT NULL,
    verdict text NOT NULL,
    runs    bigint NOT NULL,
    PRIMARY KEY (service, day, verdict)
) WITHOUT ROWID;
CREATE INDEX service_days_day ON service_days (day);

-- Whose an incident is, and when its first message was accepted.
ALTER TABLE incidents ADD COLUMN owner text;
ALTER TABLE incidents ADD COLUMN stage text;
ALTER TABLE incidents ADD COLUMN kind text;
ALTER TABLE incidents ADD COLUMN severity text;
ALTER TABLE incidents ADD COLUMN seen_at bigint;
ALTER TABLE incidents ADD COLUMN notified_at bigint;
CREATE INDEX incidents_figures ON incidents (first_at, closed_at, notified_at, seen_at, owner, stage, kind, severity);
CREATE INDEX incidents_owner ON incidents (owner, first_at);

-- What figures are made of: when every required stage had done its work, runs beyond the first of each stage,
-- and runs that a person stopped.
ALTER TABLE releases ADD COLUMN done_at bigint;
ALTER TABLE releases ADD COLUMN reruns bigint;
ALTER TABLE releases ADD COLUMN stopped bigint;
ALTER TABLE releases ADD COLUMN soft_failed bigint;
CREATE INDEX releases_figures ON releases (began_at, service, version, done_at, reruns, stopped, soft_failed);
CREATE INDEX releases_done ON releases (service, done_at) WHERE done_at IS NOT NULL;
DROP TABLE histories;
