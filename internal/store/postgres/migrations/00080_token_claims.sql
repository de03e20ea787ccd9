-- What the last claim of a device left: its own token, by which its claimer knows it
-- again. No table rewrite.

ALTER TABLE communication_tokens ADD COLUMN claim_token text NOT NULL DEFAULT '';
