-- The newest event at or below the checkpoint, as "position id", empty if there is none; NULL before the first lease.
-- Another one there says that the log is another.
ALTER TABLE generations ADD COLUMN mark TEXT;
