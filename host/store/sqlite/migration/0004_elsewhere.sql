-- Where a generation began, and whether its documents are kept in another place that is built anew from there if it is lost.
ALTER TABLE generations ADD COLUMN started_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN elsewhere     INTEGER NOT NULL DEFAULT 0;
UPDATE generations SET started_after = coalesce((SELECT min(s.from_position) FROM module_spans s WHERE s.generation = generations.id), position);
