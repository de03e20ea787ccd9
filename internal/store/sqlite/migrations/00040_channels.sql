-- +goose Up

-- The devices of a push, each an effect of its own; the rate that all workers
-- share; mails that came back for the moment.

CREATE TABLE communication_tokens (
    event_id    TEXT NOT NULL REFERENCES communication_events (id) ON DELETE CASCADE,
    token_hash  TEXT NOT NULL,
    tries       INTEGER NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT,
    outcome     TEXT NOT NULL DEFAULT '',
    provider    TEXT NOT NULL DEFAULT '',
    provider_id TEXT NOT NULL DEFAULT '',
    error_code  TEXT NOT NULL DEFAULT '',
    error       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, token_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery_turns (
    name    TEXT PRIMARY KEY NOT NULL,
    next_at INTEGER NOT NULL -- when the next turn begins, microseconds since 1970
) STRICT, WITHOUT ROWID;

CREATE TABLE soft_bounces (
    channel      TEXT NOT NULL,
    address_hash TEXT NOT NULL,
    count        INTEGER NOT NULL,
    last_at      TEXT NOT NULL,
    PRIMARY KEY (channel, address_hash)
) STRICT, WITHOUT ROWID;
