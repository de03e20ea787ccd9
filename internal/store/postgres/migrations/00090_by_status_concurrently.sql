-- Nearly all rows are sent: those are found by their time. The others are few, and an
-- index of them alone is not written again when a message is settled.

CREATE INDEX CONCURRENTLY IF NOT EXISTS communication_events_by_status
    ON acs.communication_events (status, created_at DESC, id DESC) WHERE status NOT IN ('sent', 'delivered')
