-- Times are epoch milliseconds, bodies JSON.

-- Accepted; `seq` only grows. Decided are those up to the mark in the other file, whether or not they still
-- stand here. No other index: intake pays for each.
CREATE TABLE inbox (
    seq         integer PRIMARY KEY,
    received_at bigint NOT NULL,
    body        text NOT NULL
);
-- One row, written to see whether that works.
CREATE TABLE probe (
    id integer PRIMARY KEY,
    at bigint NOT NULL
);
