-- +goose Up

-- The message attributes of a message that its row keeps, as JSON; NULL: it has
-- none.

ALTER TABLE communication_events ADD COLUMN payload_attributes TEXT;
