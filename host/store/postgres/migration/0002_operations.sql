-- What people ask of a plugin's owner, and what became of it: the queue and the audit trail in one.
CREATE TABLE requests (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin       text COLLATE "C" NOT NULL,
    action       text NOT NULL,                     -- retry, skip, edit, pause, resume, rebuild, rollback, drop
    key          text COLLATE "C" NOT NULL DEFAULT '', -- of a sequence
    position     bigint NOT NULL DEFAULT 0,         -- of an event
    generation   integer NOT NULL DEFAULT 0,        -- its number
    digest       text NOT NULL DEFAULT '',          -- of a module in modules
    data         bytea,                             -- that replaces the event's
    who          text NOT NULL DEFAULT '',
    why          text NOT NULL DEFAULT '',
    state        text NOT NULL DEFAULT 'pending',   -- pending, done, refused
    answer       text NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at  timestamptz
);
CREATE INDEX requests_pending ON requests (id) WHERE state = 'pending';
CREATE INDEX requests_plugin ON requests (plugin, id);

-- Data that a person has put in the place of an event's, for one plugin. The log itself never changes.
CREATE TABLE replacements (
    plugin     text COLLATE "C" NOT NULL,
    position   bigint NOT NULL,
    data       bytea NOT NULL,
    who        text NOT NULL,
    why        text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plugin, position)
);

-- Modules that were given to a rebuild, so that any host can run them.
CREATE TABLE modules (
    digest     text PRIMARY KEY,
    wasm       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which modules took over, or were refused.
CREATE TABLE reloads (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin   text COLLATE "C" NOT NULL,
    digest   text NOT NULL,                         -- empty if the file could not be read
    position bigint NOT NULL,                       -- the checkpoint it took over at
    refused  text NOT NULL DEFAULT '',              -- why; empty if it took over
    host     text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reloads_plugin ON reloads (plugin, id);

-- A generation is live, or it is being built, or it was live and is kept to go back to.
ALTER TABLE generations
    ADD COLUMN state   text NOT NULL DEFAULT 'live',  -- live, building, retired
    ADD COLUMN module  text NOT NULL DEFAULT '',      -- digest of the module in modules that it is built with; empty: the declared one
    ADD COLUMN held_until bigint NOT NULL DEFAULT 0,  -- emitted events up to here are held back: another one has emitted them
    ADD COLUMN retired_at timestamptz;
ALTER TABLE plugins
    ADD COLUMN module     text NOT NULL DEFAULT '',   -- digest of the module in modules that stands in for the declared one
    ADD COLUMN instead_of text NOT NULL DEFAULT '',   -- as long as that one's digest is this
    ADD COLUMN paused_by  text NOT NULL DEFAULT '',   -- who paused it, and why; empty: nobody
    ADD COLUMN paused_why text NOT NULL DEFAULT '',
    ADD COLUMN paused_at  timestamptz;
