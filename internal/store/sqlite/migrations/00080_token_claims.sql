-- +goose Up

-- What the last claim of a device left: its own token, by which its claimer knows it
-- again.

ALTER TABLE communication_tokens ADD COLUMN claim_token TEXT NOT NULL DEFAULT '';
