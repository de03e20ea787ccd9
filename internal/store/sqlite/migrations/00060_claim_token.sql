-- +goose Up

-- What the last claim that won left: its own token, by which its claimer knows it
-- again, and whether it took over a lapsed lease.

ALTER TABLE communication_events ADD COLUMN claim_token TEXT NOT NULL DEFAULT '';
ALTER TABLE communication_events ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;
