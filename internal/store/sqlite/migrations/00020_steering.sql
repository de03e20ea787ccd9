-- +goose Up

-- Who leads, what people ordered, and what a replay needs.

CREATE TABLE controller_leases (
    name       TEXT PRIMARY KEY NOT NULL,
    holder     TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    since      TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_pauses (
    policy    TEXT PRIMARY KEY NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out', 'both')),
    author    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    since     TEXT NOT NULL,
    until     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_policies (
    policy      TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    hash        TEXT NOT NULL,
    spec        TEXT NOT NULL CHECK (json_valid(spec)),
    accepted_at TEXT NOT NULL,
    PRIMARY KEY (policy, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_snapshots (
    policy     TEXT NOT NULL,
    time       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (json_valid(state)),
    PRIMARY KEY (policy, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE controller_statuses (
    policy     TEXT PRIMARY KEY NOT NULL,
    updated_at TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (json_valid(status))
) STRICT, WITHOUT ROWID;

-- The ticks that folded into a row, a line of JSON each.
ALTER TABLE controller_decisions ADD COLUMN folded TEXT NOT NULL DEFAULT '';

CREATE INDEX controller_decisions_oldest ON controller_decisions (last_time);
