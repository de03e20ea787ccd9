-- The devices of a push, each an effect of its own; the rate that all workers
-- share; mails that came back for the moment.

CREATE TABLE communication_tokens (
    event_id    text NOT NULL REFERENCES communication_events (id) ON DELETE CASCADE,
    token_hash  text NOT NULL,
    tries       integer NOT NULL,
    started_at  timestamptz(3) NOT NULL,
    finished_at timestamptz(3),
    outcome     text NOT NULL DEFAULT '',
    provider    text NOT NULL DEFAULT '',
    provider_id text NOT NULL DEFAULT '',
    error_code  text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, token_hash)
);

CREATE TABLE delivery_turns (
    name    text PRIMARY KEY,
    next_at bigint NOT NULL -- when the next turn begins, microseconds since 1970
);

CREATE TABLE soft_bounces (
    channel      text NOT NULL,
    address_hash text NOT NULL,
    count        integer NOT NULL,
    last_at      timestamptz(3) NOT NULL,
    PRIMARY KEY (channel, address_hash)
);
