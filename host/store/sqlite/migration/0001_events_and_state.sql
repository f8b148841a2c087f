-- Times are microseconds since 1970, UTC. Text compares by bytes (SQLite's BINARY collation).

CREATE TABLE migrations (
  version    INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: a position is never handed out twice, not even after the last event is deleted, and
-- since SQLite has one writer at a time, positions rise in the order in which transactions commit.
-- Leave position out of your own INSERTs: one below the watermark would never be delivered.
CREATE TABLE events (
  position     INTEGER PRIMARY KEY AUTOINCREMENT,
  stream       TEXT    NOT NULL,
  stream_type  TEXT    NOT NULL DEFAULT '',
  version      INTEGER NOT NULL,
  id           TEXT    NOT NULL DEFAULT (lower(hex(randomblob(16)))),
  type         TEXT    NOT NULL,
  data         BLOB    NOT NULL DEFAULT (x''),
  metadata     TEXT    NOT NULL DEFAULT '{}',
  content_type TEXT    NOT NULL DEFAULT 'application/json',
  time         INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;
CREATE UNIQUE INDEX events_stream_version ON events (stream, version);
CREATE UNIQUE INDEX events_id ON events (id);

CREATE TABLE hosts (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL,
  process    TEXT    NOT NULL,
  started_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plugins (
  name            TEXT    NOT NULL PRIMARY KEY,
  live_generation INTEGER NOT NULL,
  created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE generations (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  plugin          TEXT    NOT NULL,
  number          INTEGER NOT NULL,
  position        INTEGER NOT NULL,           -- the checkpoint
  epoch           INTEGER NOT NULL DEFAULT 0,
  owner           TEXT,                       -- hosts.id, or of a host that is gone
  condition       TEXT    NOT NULL DEFAULT 'running',
  reason          TEXT    NOT NULL DEFAULT '',
  condition_since INTEGER NOT NULL,
  digest          TEXT    NOT NULL DEFAULT '',
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  UNIQUE (plugin, number)
) STRICT;

CREATE TABLE documents (
  generation INTEGER NOT NULL,
  collection TEXT    NOT NULL,
  key        TEXT    NOT NULL,
  data       TEXT    NOT NULL,                -- JSON
  position   INTEGER NOT NULL,                -- of the event that wrote it
  PRIMARY KEY (generation, collection, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE sequences (
  generation   INTEGER NOT NULL,
  key          TEXT    NOT NULL,
  state        TEXT    NOT NULL,
  position     INTEGER NOT NULL,              -- of the failed event
  attempts     INTEGER NOT NULL,
  next_attempt INTEGER,
  kind         TEXT    NOT NULL,
  error        TEXT    NOT NULL,
  stack        TEXT    NOT NULL,
  digest       TEXT    NOT NULL,
  since        INTEGER,
  PRIMARY KEY (generation, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE sequence_events (
  generation INTEGER NOT NULL,
  key        TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  PRIMARY KEY (generation, key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE module_spans (
  generation    INTEGER NOT NULL,
  from_position INTEGER NOT NULL,             -- the span is (from_position, the next one's or the checkpoint]
  digest        TEXT    NOT NULL,
  since         INTEGER NOT NULL,
  PRIMARY KEY (generation, from_position)
) STRICT, WITHOUT ROWID;

-- For ad-hoc SQL: the events with readable data and time, and the documents that plugins serve now.
CREATE VIEW event_log AS
SELECT position, stream, stream_type, version, id, type,
       CASE WHEN content_type LIKE '%json%' OR content_type LIKE 'text/%' THEN CAST(data AS TEXT) ELSE data END AS data,
       metadata, content_type,
       strftime('%Y-%m-%dT%H:%M:%S', (time - (time % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
         || printf('.%06dZ', (time % 1000000 + 1000000) % 1000000) AS time
FROM events;

CREATE VIEW read_models AS
SELECT p.name AS plugin, d.collection, d.key, d.data, d.position
FROM plugins p JOIN documents d ON d.generation = p.live_generation;
