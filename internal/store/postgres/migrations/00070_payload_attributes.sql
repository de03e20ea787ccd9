-- The message attributes of a message that its row keeps, as JSON; NULL: it has
-- none. No table rewrite: a running worker of the version before goes on.

ALTER TABLE communication_events ADD COLUMN payload_attributes text;
