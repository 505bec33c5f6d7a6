-- Append only: runs whose stop was suggested, because a stage that they need had failed.
CREATE TABLE stops (
    run     text PRIMARY KEY,
    at      bigint NOT NULL,
    because text NOT NULL,
    body    text NOT NULL
);
CREATE INDEX stops_at ON stops (at);
CREATE INDEX stops_because ON stops (because);
