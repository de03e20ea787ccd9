-- +goose Up

-- What each worker said last of each of its queues.

CREATE TABLE worker_reports (
    worker      TEXT NOT NULL,
    queue       TEXT NOT NULL,
    reported_at TEXT NOT NULL,
    report      TEXT NOT NULL,
    PRIMARY KEY (worker, queue)
) WITHOUT ROWID;
