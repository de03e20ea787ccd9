-- What each worker said last of each of its queues. Rows are few and rewritten
-- every few seconds: the room left on each page keeps a new version beside the old.

CREATE TABLE worker_reports (
    worker      text NOT NULL,
    queue       text NOT NULL,
    reported_at timestamptz(3) NOT NULL,
    report      json NOT NULL,
    PRIMARY KEY (worker, queue)
) WITH (fillfactor = 50);
