-- Times are epoch milliseconds, flags 0 or 1, bodies JSON.

-- Rows of the inbox that wait for something else.
CREATE TABLE parked (
    seq         integer PRIMARY KEY,
    received_at bigint NOT NULL,
    due_at      bigint NOT NULL,
    attempts    bigint NOT NULL,
    body        text NOT NULL
);
CREATE INDEX parked_due ON parked (due_at);
-- Rows of the inbox that cannot be read.
CREATE TABLE poison (
    seq         integer PRIMARY KEY,
    received_at bigint NOT NULL,
    error       text NOT NULL,
    body        text NOT NULL
);

-- The last five are what the rules last made of a job, and how it fares by its last runs.
CREATE TABLE jobs (
    id       integer PRIMARY KEY,
    key      text NOT NULL UNIQUE,
    owner    text,
    service  text,
    stage    text,
    severity text,
    health   text
);
CREATE INDEX jobs_owner ON jobs (owner);
CREATE INDEX jobs_service ON jobs (service) WHERE service IS NOT NULL;
CREATE TABLE runs (
    id          integer PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    job_id      bigint NOT NULL,
    state       text NOT NULL,
    verdict     text NOT NULL,
    counts      bigint NOT NULL,
    started_at  bigint,
    pending_at  bigint,
    finished_at bigint,
    incident    bigint,
    -- The release that it is part of.
    release     text,
    base_ref    text NOT NULL,
    base_sha    text,
    url         text,
    alias       text,
    build_id    text,
    inferred    bigint NOT NULL,
    -- Whether only a command inside the run's job told of its end, so that Prow's own word is still to come.
    provisional bigint NOT NULL,
    facts       text
);
-- The timeline of a job; the verdict is there for the strips of pages.
CREATE INDEX runs_timeline ON runs (job_id, finished_at, name, verdict) WHERE counts = 1;
-- Few: what is not over.
CREATE INDEX runs_under_way ON runs (job_id) WHERE finished_at IS NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_incident ON runs (incident) WHERE incident IS NOT NULL;
-- Finds aliases too, which end in the build id: smaller than an index of whole aliases, and nearly in order.
CREATE INDEX runs_build ON runs (build_id) WHERE build_id IS NOT NULL;
CREATE INDEX runs_release ON runs (release) WHERE release IS NOT NULL;
-- Few, and what most pages are about.
CREATE INDEX runs_bad ON runs (finished_at, job_id, verdict) WHERE verdict IN ('fail', 'infra', 'soft-fail');
-- Few: what only a GitHub status told of.
CREATE INDEX runs_inferred ON runs (alias) WHERE inferred = 1;

-- Append only. `run` is set only for runs that are not kept.
CREATE TABLE decisions (
    id         integer PRIMARY KEY,
    run_id     bigint,
    run        text,
    job_id     bigint NOT NULL,
    source     text NOT NULL,
    seen_at    bigint NOT NULL,
    decided_at bigint NOT NULL,
    verdict    text NOT NULL,
    decision   text NOT NULL,
    rule       text,
    reason     text NOT NULL,
    class      text NOT NULL,
    receivers  text NOT NULL,
    incident   bigint
);
CREATE INDEX decisions_run ON decisions (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX decisions_name ON decisions (run) WHERE run IS NOT NULL;

CREATE TABLE incidents (
    id          integer PRIMARY KEY,
    job_id      bigint NOT NULL,
    cause       text NOT NULL,
    open        bigint NOT NULL,
    first_at    bigint NOT NULL,
    closed_at   bigint,
    window_ends bigint,
    body        text NOT NULL,
    -- What figures are made of; `notified_at` is when its first message was accepted.
    owner       text NOT NULL,
    stage       text,
    kind        text NOT NULL,
    severity    text NOT NULL,
    seen_at     bigint,
    notified_at bigint
);
-- Serves figures without the bodies.
CREATE INDEX incidents_figures ON incidents (first_at, closed_at, notified_at, seen_at, owner, stage, kind, severity);
CREATE INDEX incidents_job ON incidents (job_id, first_at);
CREATE INDEX incidents_owner ON incidents (owner, first_at);
CREATE INDEX incidents_open ON incidents (first_at) WHERE open = 1;
CREATE INDEX incidents_closed ON incidents (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX incidents_window ON incidents (window_ends) WHERE window_ends IS NOT NULL;

-- Bad runs whose reason is still to be read; bodies are observations.
CREATE TABLE reads (
    run      text PRIMARY KEY,
    due_at   bigint NOT NULL,
    attempts bigint NOT NULL,
    since    bigint NOT NULL,
    body     text NOT NULL
);
CREATE INDEX reads_due ON reads (due_at);
-- Why runs broke. Bodies are findings; `again_at` is set while reading goes on.
CREATE TABLE evidence (
    run       text PRIMARY KEY,
    at        bigint NOT NULL,
    attempts  bigint NOT NULL,
    again_at  bigint,
    class     text,
    signature text,
    location  text,
    body      text NOT NULL
);
CREATE INDEX evidence_at ON evidence (at);
CREATE INDEX evidence_signature ON evidence (signature, at) WHERE signature IS NOT NULL;

CREATE TABLE causes (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;
CREATE TABLE folds (
    cause    text NOT NULL,
    receiver text NOT NULL,
    body     text NOT NULL,
    PRIMARY KEY (cause, receiver)
) WITHOUT ROWID;
CREATE TABLE digests (
    receiver    text NOT NULL,
    first_start bigint NOT NULL,
    body        text NOT NULL,
    PRIMARY KEY (receiver, first_start)
) WITHOUT ROWID;

-- Versions of services on their way; `due_at` is when the next stage is late.
CREATE TABLE releases (
    key      text PRIMARY KEY,
    service  text NOT NULL,
    version  text NOT NULL,
    began_at bigint NOT NULL,
    due_at   bigint,
    body     text NOT NULL,
    -- What figures are made of: when every required stage had done its work, runs beyond the first of each stage,
    -- and how many a person stopped or were green without doing their work.
    done_at     bigint,
    reruns      bigint NOT NULL,
    stopped     bigint NOT NULL,
    soft_failed bigint NOT NULL,
    -- Whether a person did what a stage should have; seconds that its runs took, and those of runs beyond the first.
    hand_made   bigint NOT NULL,
    run_s       bigint NOT NULL,
    retry_s     bigint NOT NULL
) WITHOUT ROWID;
CREATE INDEX releases_figures ON releases (began_at, service, version, done_at, reruns, stopped, soft_failed, hand_made,
    run_s, retry_s);
CREATE INDEX releases_done ON releases (service, done_at) WHERE done_at IS NOT NULL;
CREATE INDEX releases_due ON releases (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX releases_service ON releases (service, began_at);
CREATE INDEX releases_began ON releases (began_at);
CREATE INDEX releases_version ON releases (version, began_at);

-- The latest success of each stage that services share.
CREATE TABLE healed (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;
-- Open incidents of the watch itself.
CREATE TABLE troubles (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;

-- What is awaited by a time: ends of runs, next runs of jobs.
CREATE TABLE watches (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;
-- How long each edge took whose deadline is learned.
CREATE TABLE gaps (
    key  text PRIMARY KEY,
    body text NOT NULL
) WITHOUT ROWID;

-- Made by people. Kept for ever: they say who asked for quiet, and why.
CREATE TABLE silences (
    id      integer PRIMARY KEY,
    ends_at bigint NOT NULL,
    body    text NOT NULL
);
CREATE INDEX silences_ends ON silences (ends_at);
-- What silences and mute windows hide from whom until they end.
CREATE TABLE hidden (
    key      text NOT NULL,
    receiver text NOT NULL,
    body     text NOT NULL,
    PRIMARY KEY (key, receiver)
) WITHOUT ROWID;

CREATE TABLE notifications (
    id       integer PRIMARY KEY,
    shown_id text NOT NULL,
    event    text NOT NULL,
    receiver text NOT NULL,
    at       bigint NOT NULL,
    body     text NOT NULL
);
CREATE INDEX notifications_at ON notifications (at);
CREATE INDEX notifications_shown ON notifications (shown_id);
CREATE TABLE notification_incidents (
    notification_id bigint NOT NULL,
    incident_id     bigint NOT NULL,
    PRIMARY KEY (notification_id, incident_id)
) WITHOUT ROWID;
CREATE INDEX notification_incidents_incident ON notification_incidents (incident_id);

-- Deliveries. `state` is pending, sent, dead (given up), or diverted (given up, and another receiver got a copy);
-- the column `diverted` tells such a copy from the original.
CREATE TABLE outbox (
    id              integer PRIMARY KEY,
    notification_id bigint NOT NULL,
    receiver        text NOT NULL,
    critical        bigint NOT NULL,
    state           text NOT NULL,
    attempts        bigint NOT NULL,
    plain           bigint NOT NULL,
    created_at      bigint NOT NULL,
    due_at          bigint NOT NULL,
    diverted        text
);
CREATE INDEX outbox_pending ON outbox (receiver, critical DESC, id) WHERE state = 'pending';
CREATE INDEX outbox_dead ON outbox (receiver) WHERE state = 'dead';
CREATE INDEX outbox_diverted ON outbox (receiver) WHERE state = 'diverted';
CREATE INDEX outbox_receiver ON outbox (receiver);
CREATE INDEX outbox_notification ON outbox (notification_id);
CREATE TABLE attempts (
    id          integer PRIMARY KEY,
    delivery_id bigint NOT NULL,
    at          bigint NOT NULL,
    outcome     text NOT NULL,
    detail      text NOT NULL
);
CREATE INDEX attempts_delivery ON attempts (delivery_id);
CREATE TABLE receivers (
    name          text PRIMARY KEY,
    blocked_until bigint,
    dead          text,
    failures      bigint NOT NULL
) WITHOUT ROWID;

-- What would need a scan to count, and the last numbers given.
CREATE TABLE counters (
    name  text PRIMARY KEY,
    value bigint NOT NULL
) WITHOUT ROWID;
CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
) WITHOUT ROWID;

-- How many runs ended, by UTC day in days since 1970. Kept for ever.
CREATE TABLE service_days (
    day     bigint NOT NULL,
    service text NOT NULL,
    verdict text NOT NULL,
    runs    bigint NOT NULL,
    PRIMARY KEY (day, service, verdict)
) WITHOUT ROWID;
CREATE INDEX service_days_service ON service_days (service, day);
-- The same of all services together.
CREATE TABLE run_days (
    day     bigint NOT NULL,
    verdict text NOT NULL,
    runs    bigint NOT NULL,
    PRIMARY KEY (day, verdict)
) WITHOUT ROWID;

-- Append only: runs whose stop was suggested, because a stage that they need had failed.
CREATE TABLE stops (
    run     text PRIMARY KEY,
    at      bigint NOT NULL,
    because text NOT NULL,
    body    text NOT NULL
);
CREATE INDEX stops_at ON stops (at);
CREATE INDEX stops_because ON stops (because);

-- What people did. Append only, kept for ever; `before` and `after` are JSON.
CREATE TABLE actions (
    id      integer PRIMARY KEY,
    at      bigint NOT NULL,
    who     text NOT NULL,
    by      text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL,
    before  text,
    after   text
);
