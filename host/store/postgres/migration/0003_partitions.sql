-- A generation is split into partitions: each is a row with a checkpoint, a lease and parked sequences of its own.
-- The row of partition 0 is the root: plugins.live_generation names it, and all partitions' documents are under its id.
ALTER TABLE generations
    ADD COLUMN partition  integer NOT NULL DEFAULT 0,
    ADD COLUMN partitions integer NOT NULL DEFAULT 1,   -- how many the generation has
    ADD COLUMN root       bigint NOT NULL DEFAULT 0,    -- id of the root, also of the root's own row
    ADD COLUMN order_by   text NOT NULL DEFAULT 'stream';
UPDATE generations SET root = id;
-- Partitions that others were put in the place of are kept for their module_spans, with the state 'merged'.
ALTER TABLE generations DROP CONSTRAINT generations_plugin_number_key;
CREATE UNIQUE INDEX generations_partition ON generations (plugin, number, partition) WHERE state <> 'merged';
CREATE INDEX generations_root ON generations (root);

ALTER TABLE hosts
    ADD COLUMN weight      double precision NOT NULL DEFAULT 1,
    ADD COLUMN declares    json NOT NULL DEFAULT '[]',  -- the plugins of its hosts.toml
    ADD COLUMN declared_at timestamptz NOT NULL DEFAULT clock_timestamp();

ALTER TABLE requests ADD COLUMN partition integer NOT NULL DEFAULT 0;

-- Drawn from whenever other hosts should look: after the change can be seen, so never in its transaction.
CREATE SEQUENCE bell CACHE 1;
