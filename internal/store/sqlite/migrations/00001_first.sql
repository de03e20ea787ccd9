-- +goose Up

-- Times are RFC 3339, UTC, with milliseconds, always 24 characters: text order
-- is time order, and people read them.

CREATE TABLE communication_events (
    id             TEXT PRIMARY KEY NOT NULL,
    channel        TEXT NOT NULL,
    type           TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('new', 'scheduled', 'processing', 'sent', 'delivered',
                       'undelivered', 'failed', 'suppressed', 'expired', 'in_doubt', 'received')),
    from_address   TEXT,
    to_address     TEXT,
    provider       TEXT NOT NULL DEFAULT '',
    provider_id    TEXT NOT NULL DEFAULT '',
    attempts       INTEGER NOT NULL DEFAULT 0,
    error_code     TEXT NOT NULL DEFAULT '',
    error          TEXT NOT NULL DEFAULT '',
    queue          TEXT NOT NULL DEFAULT '',
    sqs_message_id TEXT NOT NULL DEFAULT '',
    payload_hash   TEXT NOT NULL DEFAULT '',
    body_hash      TEXT NOT NULL DEFAULT '',
    segments       INTEGER NOT NULL DEFAULT 0,
    template       TEXT NOT NULL DEFAULT '',
    priority       TEXT NOT NULL DEFAULT '',
    owner          TEXT NOT NULL DEFAULT '',
    lease_until    TEXT NOT NULL CHECK (length(lease_until) = 24),
    created_at     TEXT NOT NULL CHECK (length(created_at) = 24),
    updated_at     TEXT NOT NULL CHECK (length(updated_at) = 24),
    sent_at        TEXT,
    enqueued_at    TEXT,
    settled_reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX communication_events_newest ON communication_events (created_at DESC, id DESC);
CREATE INDEX communication_events_status ON communication_events (status, created_at DESC, id DESC);
CREATE INDEX communication_events_provider_id ON communication_events (provider_id) WHERE provider_id <> '';

CREATE TABLE communication_attempts (
    event_id    TEXT NOT NULL REFERENCES communication_events (id) ON DELETE CASCADE,
    attempt     INTEGER NOT NULL,
    owner       TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT,
    outcome     TEXT NOT NULL DEFAULT '',
    provider    TEXT NOT NULL DEFAULT '',
    provider_id TEXT NOT NULL DEFAULT '',
    error_code  TEXT NOT NULL DEFAULT '',
    error       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE suppressions (
    channel      TEXT NOT NULL,
    address_hash TEXT NOT NULL,
    reason       TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    PRIMARY KEY (channel, address_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_decisions (
    id         INTEGER PRIMARY KEY,
    policy     TEXT NOT NULL,
    time       TEXT NOT NULL,
    last_time  TEXT NOT NULL,
    count      INTEGER NOT NULL,
    desired    INTEGER NOT NULL,
    current    INTEGER NOT NULL,
    limited_by TEXT NOT NULL,
    reason     TEXT NOT NULL,
    changed    INTEGER NOT NULL,
    record     TEXT CHECK (json_valid(record))
) STRICT;

CREATE INDEX controller_decisions_newest ON controller_decisions (policy, time DESC, id DESC);

CREATE TABLE controller_states (
    policy     TEXT PRIMARY KEY NOT NULL,
    state      TEXT NOT NULL CHECK (json_valid(state)),
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_events (
    id         INTEGER PRIMARY KEY,
    policy     TEXT NOT NULL,
    type       TEXT NOT NULL,
    reason     TEXT NOT NULL,
    message    TEXT NOT NULL,
    count      INTEGER NOT NULL,
    first_time TEXT NOT NULL,
    last_time  TEXT NOT NULL
) STRICT;

CREATE INDEX controller_events_newest ON controller_events (last_time DESC, id DESC);
CREATE INDEX controller_events_equal ON controller_events (policy, reason, last_time DESC);
