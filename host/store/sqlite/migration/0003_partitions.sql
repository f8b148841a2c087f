-- A generation is split into partitions: each is a row with a checkpoint, a lease and parked sequences of its own.
-- The row of partition 0 is the root: plugins.live_generation names it, and all partitions' documents are under its id.
CREATE TABLE partitioned (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  plugin          TEXT    NOT NULL,
  number          INTEGER NOT NULL,
  position        INTEGER NOT NULL,                  -- the checkpoint
  epoch           INTEGER NOT NULL DEFAULT 0,
  owner           TEXT,                              -- hosts.id, or of a host that is gone
  condition       TEXT    NOT NULL DEFAULT 'running',
  reason          TEXT    NOT NULL DEFAULT '',
  condition_since INTEGER NOT NULL,
  digest          TEXT    NOT NULL DEFAULT '',
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  state           TEXT    NOT NULL DEFAULT 'live',   -- live, building, retired, dropping, merged
  module          TEXT    NOT NULL DEFAULT '',       -- digest of the module in modules that it is built with; empty: the declared one
  held_until      INTEGER NOT NULL DEFAULT 0,        -- emitted events up to here are held back: another one has emitted them
  retired_at      INTEGER,
  partition       INTEGER NOT NULL DEFAULT 0,
  partitions      INTEGER NOT NULL DEFAULT 1,        -- how many the generation has
  root            INTEGER NOT NULL DEFAULT 0,        -- id of the root, also of the root's own row
  order_by        TEXT    NOT NULL DEFAULT 'stream'
) STRICT;
INSERT INTO partitioned (id, plugin, number, position, epoch, owner, condition, reason, condition_since, digest, created_at, updated_at,
                         state, module, held_until, retired_at, root)
SELECT id, plugin, number, position, epoch, owner, condition, reason, condition_since, digest, created_at, updated_at,
       state, module, held_until, retired_at, id
FROM generations;
-- The id of a generation that was dropped must not be given again.
DELETE FROM sqlite_sequence WHERE name = 'partitioned';
INSERT INTO sqlite_sequence (name, seq) SELECT 'partitioned', seq FROM sqlite_sequence WHERE name = 'generations';
DROP TABLE generations;
ALTER TABLE partitioned RENAME TO generations;
-- Partitions that others were put in the place of are kept for their module_spans, with the state 'merged'.
CREATE UNIQUE INDEX generations_partition ON generations (plugin, number, partition) WHERE state <> 'merged';
CREATE INDEX generations_root ON generations (root);

ALTER TABLE hosts ADD COLUMN weight      REAL    NOT NULL DEFAULT 1;
ALTER TABLE hosts ADD COLUMN declares    TEXT    NOT NULL DEFAULT '[]'; -- the plugins of its hosts.toml, as JSON
ALTER TABLE hosts ADD COLUMN declared_at INTEGER NOT NULL DEFAULT 0;

ALTER TABLE requests ADD COLUMN partition INTEGER NOT NULL DEFAULT 0;

-- Counts up whenever other hosts should look.
CREATE TABLE bell (rung INTEGER NOT NULL) STRICT;
INSERT INTO bell VALUES (0);
