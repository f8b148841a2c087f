-- What people ask of a plugin's owner, and what became of it: the queue and the audit trail in one.
CREATE TABLE requests (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  plugin       TEXT    NOT NULL,
  action       TEXT    NOT NULL,                   -- retry, skip, edit, pause, resume, rebuild, rollback, drop
  key          TEXT    NOT NULL DEFAULT '',        -- of a sequence
  position     INTEGER NOT NULL DEFAULT 0,         -- of an event
  generation   INTEGER NOT NULL DEFAULT 0,         -- its number
  digest       TEXT    NOT NULL DEFAULT '',        -- of a module in modules
  data         BLOB,                               -- that replaces the event's
  who          TEXT    NOT NULL DEFAULT '',
  why          TEXT    NOT NULL DEFAULT '',
  state        TEXT    NOT NULL DEFAULT 'pending', -- pending, done, refused
  answer       TEXT    NOT NULL DEFAULT '',
  requested_at INTEGER NOT NULL,
  answered_at  INTEGER
) STRICT;
CREATE INDEX requests_pending ON requests (id) WHERE state = 'pending';
CREATE INDEX requests_plugin ON requests (plugin, id);

-- Data that a person has put in the place of an event's, for one plugin. The log itself never changes.
CREATE TABLE replacements (
  plugin     TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  data       BLOB    NOT NULL,
  who        TEXT    NOT NULL,
  why        TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (plugin, position)
) STRICT, WITHOUT ROWID;

-- Modules that were given to a rebuild, so that any host can run them.
CREATE TABLE modules (
  digest     TEXT    NOT NULL PRIMARY KEY,
  wasm       BLOB    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

-- Which modules took over, or were refused.
CREATE TABLE reloads (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  plugin   TEXT    NOT NULL,
  digest   TEXT    NOT NULL,                       -- empty if the file could not be read
  position INTEGER NOT NULL,                       -- the checkpoint it took over at
  refused  TEXT    NOT NULL DEFAULT '',            -- why; empty if it took over
  host     TEXT    NOT NULL,
  at       INTEGER NOT NULL
) STRICT;
CREATE INDEX reloads_plugin ON reloads (plugin, id);

-- A generation is live, or it is being built, or it was live and is kept to go back to.
ALTER TABLE generations ADD COLUMN state      TEXT    NOT NULL DEFAULT 'live'; -- live, building, retired
ALTER TABLE generations ADD COLUMN module     TEXT    NOT NULL DEFAULT '';     -- digest of the module in modules that it is built with; empty: the declared one
ALTER TABLE generations ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0;      -- emitted events up to here are held back: another one has emitted them
ALTER TABLE generations ADD COLUMN retired_at INTEGER;
ALTER TABLE plugins ADD COLUMN module     TEXT NOT NULL DEFAULT '';            -- digest of the module in modules that stands in for the declared one
ALTER TABLE plugins ADD COLUMN instead_of TEXT NOT NULL DEFAULT '';            -- as long as that one's digest is this
ALTER TABLE plugins ADD COLUMN paused_by  TEXT NOT NULL DEFAULT '';            -- who paused it, and why; empty: nobody
ALTER TABLE plugins ADD COLUMN paused_why TEXT NOT NULL DEFAULT '';
ALTER TABLE plugins ADD COLUMN paused_at  INTEGER;
