-- "CHECKPOINT POSITION ID": the newest event at or below the checkpoint, or "CHECKPOINT " if there is none. Another event there
-- says that the log is another. NULL, or with another checkpoint, it says nothing: an older host has moved the checkpoint.
ALTER TABLE generations ADD COLUMN mark TEXT;
