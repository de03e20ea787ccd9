-- What a parked message needs while no queue has it, and bodies where they are
-- kept. Adding columns without a table rewrite: a running worker of the version
-- before goes on.

ALTER TABLE communication_events ADD COLUMN payload text;
ALTER TABLE communication_events ADD COLUMN payload_group text NOT NULL DEFAULT '';
ALTER TABLE communication_events ADD COLUMN due_at timestamptz(3);
ALTER TABLE communication_events ADD COLUMN body text;
