CREATE TABLE controller_silences (
    id        text PRIMARY KEY,
    matchers  json NOT NULL,
    starts_at timestamptz(3) NOT NULL,
    ends_at   timestamptz(3) NOT NULL,
    author    text NOT NULL,
    comment   text NOT NULL
);
