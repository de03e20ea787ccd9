-- +goose Up

CREATE TABLE controller_silences (
    id        TEXT PRIMARY KEY NOT NULL,
    matchers  TEXT NOT NULL CHECK (json_valid(matchers)),
    starts_at TEXT NOT NULL,
    ends_at   TEXT NOT NULL,
    author    TEXT NOT NULL,
    comment   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
