-- Who leads, what people ordered, and what a replay needs.

CREATE TABLE controller_leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    epoch      bigint NOT NULL,
    since      timestamptz(3) NOT NULL,
    expires_at timestamptz(3) NOT NULL
);

CREATE TABLE controller_pauses (
    policy    text PRIMARY KEY,
    direction text NOT NULL CHECK (direction IN ('in', 'out', 'both')),
    author    text NOT NULL,
    reason    text NOT NULL,
    since     timestamptz(3) NOT NULL,
    until     timestamptz(3) NOT NULL
);

CREATE TABLE controller_policies (
    policy      text NOT NULL,
    generation  bigint NOT NULL,
    hash        text NOT NULL,
    spec        json NOT NULL,
    accepted_at timestamptz(3) NOT NULL,
    PRIMARY KEY (policy, generation)
);

CREATE TABLE controller_snapshots (
    policy     text NOT NULL,
    time       timestamptz(3) NOT NULL,
    generation bigint NOT NULL,
    state      json NOT NULL,
    PRIMARY KEY (policy, time)
);

CREATE TABLE controller_statuses (
    policy     text PRIMARY KEY,
    updated_at timestamptz(3) NOT NULL,
    status     json NOT NULL
);

-- The ticks that folded into a row, a line of JSON each.
ALTER TABLE controller_decisions ADD COLUMN folded text NOT NULL DEFAULT '';

CREATE INDEX controller_decisions_oldest ON controller_decisions (last_time);
