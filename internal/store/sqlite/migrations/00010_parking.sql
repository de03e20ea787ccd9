-- +goose Up

-- What a parked message needs while no queue has it, and bodies where they are
-- kept.

ALTER TABLE communication_events ADD COLUMN payload TEXT;
ALTER TABLE communication_events ADD COLUMN payload_group TEXT NOT NULL DEFAULT '';
ALTER TABLE communication_events ADD COLUMN due_at TEXT;
ALTER TABLE communication_events ADD COLUMN body TEXT;

CREATE INDEX communication_events_due ON communication_events (due_at) WHERE due_at IS NOT NULL;
