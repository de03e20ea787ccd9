-- Runs in one transaction, with search_path set to the schema for its length.

CREATE TABLE communication_events (
    id             text PRIMARY KEY,
    channel        text NOT NULL,
    type           text NOT NULL,
    status         text NOT NULL CHECK (status IN ('new', 'scheduled', 'processing', 'sent', 'delivered',
                       'undelivered', 'failed', 'suppressed', 'expired', 'in_doubt', 'received')),
    from_address   text,
    to_address     text,
    provider       text NOT NULL DEFAULT '',
    provider_id    text NOT NULL DEFAULT '',
    attempts       integer NOT NULL DEFAULT 0,
    error_code     text NOT NULL DEFAULT '',
    error          text NOT NULL DEFAULT '',
    queue          text NOT NULL DEFAULT '',
    sqs_message_id text NOT NULL DEFAULT '',
    payload_hash   text NOT NULL DEFAULT '',
    body_hash      text NOT NULL DEFAULT '',
    segments       integer NOT NULL DEFAULT 0,
    template       text NOT NULL DEFAULT '',
    priority       text NOT NULL DEFAULT '',
    owner          text NOT NULL DEFAULT '',
    lease_until    timestamptz(3) NOT NULL,
    created_at     timestamptz(3) NOT NULL,
    updated_at     timestamptz(3) NOT NULL,
    sent_at        timestamptz(3),
    enqueued_at    timestamptz(3),
    settled_reason text NOT NULL DEFAULT '',
    -- What the last claim that won left: its own token, by which the statement
    -- knows its row again, and whether it took over a lapsed lease.
    claim_token    text NOT NULL DEFAULT '',
    doubtful       boolean NOT NULL DEFAULT false
);

CREATE INDEX communication_events_newest ON communication_events (created_at DESC, id DESC);
CREATE INDEX communication_events_status ON communication_events (status, created_at DESC, id DESC);
CREATE INDEX communication_events_provider_id ON communication_events (provider_id) WHERE provider_id <> '';

CREATE TABLE communication_attempts (
    event_id    text NOT NULL REFERENCES communication_events (id) ON DELETE CASCADE,
    attempt     integer NOT NULL,
    owner       text NOT NULL,
    started_at  timestamptz(3) NOT NULL,
    finished_at timestamptz(3),
    outcome     text NOT NULL DEFAULT '',
    provider    text NOT NULL DEFAULT '',
    provider_id text NOT NULL DEFAULT '',
    error_code  text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, attempt)
);

CREATE TABLE suppressions (
    channel      text NOT NULL,
    address_hash text NOT NULL,
    reason       text NOT NULL,
    created_at   timestamptz(3) NOT NULL,
    PRIMARY KEY (channel, address_hash)
);

CREATE TABLE controller_decisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy     text NOT NULL,
    time       timestamptz(3) NOT NULL,
    last_time  timestamptz(3) NOT NULL,
    count      integer NOT NULL,
    desired    integer NOT NULL,
    current    integer NOT NULL,
    limited_by text NOT NULL,
    reason     text NOT NULL,
    changed    boolean NOT NULL,
    record     json
);

CREATE INDEX controller_decisions_newest ON controller_decisions (policy, time DESC, id DESC);

-- json, not jsonb: a state reads byte for byte as it was written.
CREATE TABLE controller_states (
    policy     text PRIMARY KEY,
    state      json NOT NULL,
    updated_at timestamptz(3) NOT NULL
);

CREATE TABLE controller_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy     text NOT NULL,
    type       text NOT NULL,
    reason     text NOT NULL,
    message    text NOT NULL,
    count      integer NOT NULL,
    first_time timestamptz(3) NOT NULL,
    last_time  timestamptz(3) NOT NULL
);

CREATE INDEX controller_events_newest ON controller_events (last_time DESC, id DESC);
CREATE INDEX controller_events_equal ON controller_events (policy, reason, last_time DESC);
