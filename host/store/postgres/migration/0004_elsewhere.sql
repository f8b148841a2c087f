-- Where a generation began, and whether its documents are kept in another place that is built anew from there if it is lost.
ALTER TABLE generations
    ADD COLUMN started_after bigint NOT NULL DEFAULT 0,
    ADD COLUMN elsewhere     boolean NOT NULL DEFAULT false;
UPDATE generations g SET started_after = coalesce((SELECT min(s.from_position) FROM module_spans s WHERE s.generation = g.id), g.position);
