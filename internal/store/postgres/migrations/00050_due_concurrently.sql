-- What is due is found by this. Early versions made it in step 10, with the table
-- locked.

CREATE INDEX CONCURRENTLY IF NOT EXISTS communication_events_due
    ON acs.communication_events (due_at) WHERE due_at IS NOT NULL
