-- Runs with search_path set to eshost's own schema.
-- Text that is a key has COLLATE "C": byte order, the same on every server, and cheap to compare.

CREATE TABLE events (
    position     bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    stream       text COLLATE "C" NOT NULL CHECK (stream <> ''),
    stream_type  text COLLATE "C" NOT NULL DEFAULT '',
    version      bigint NOT NULL CHECK (version >= 1),
    id           text COLLATE "C" NOT NULL DEFAULT gen_random_uuid()::text CHECK (id <> ''),
    type         text COLLATE "C" NOT NULL CHECK (type <> ''),
    data         bytea NOT NULL DEFAULT '',
    metadata     json NOT NULL DEFAULT '{}' CHECK (json_typeof(metadata) = 'object'),
    content_type text COLLATE "C" NOT NULL DEFAULT 'application/json',
    time         timestamptz NOT NULL DEFAULT clock_timestamp()
                 CHECK (time >= '0001-01-01 00:00:00+00' AND time < '10000-01-01 00:00:00+00'),
    UNIQUE (stream, version),
    UNIQUE (id)
);

COMMENT ON TABLE events IS $$
The event log. An application may insert here in its own transaction, together with its own tables:

    INSERT INTO eshost.events (stream, version, type, data)
    VALUES ('account-7', 3, 'Deposited', convert_to('{"amount": 5}', 'UTF8'));

version is the event's place in its stream, from 1 and without holes; the unique constraint decides
who wins when two write the same one. Never give a position: it must be drawn by the INSERT itself.
append_event() does the same and finds the version.$$;

CREATE TABLE hosts (
    id         text COLLATE "C" PRIMARY KEY,
    name       text NOT NULL,
    process    text NOT NULL,
    started_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE plugins (
    name            text COLLATE "C" PRIMARY KEY,
    live_generation bigint,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The checkpoint is updated at every commit: room for that on its page.
CREATE TABLE generations (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin          text COLLATE "C" NOT NULL REFERENCES plugins (name),
    number          integer NOT NULL,
    position        bigint NOT NULL,
    epoch           bigint NOT NULL DEFAULT 0,
    owner           text COLLATE "C",
    condition       text NOT NULL DEFAULT 'running',
    reason          text NOT NULL DEFAULT '',
    condition_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    digest          text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (plugin, number)
) WITH (fillfactor = 20);

ALTER TABLE plugins ADD FOREIGN KEY (live_generation) REFERENCES generations (id);

-- Half of each page is left for updates, so that they stay on it and touch no index (measured: 99 % do,
-- against 1 % on full pages under one open snapshot, and an upsert costs a third less).
-- json, not jsonb: a document comes back byte for byte.
CREATE TABLE documents (
    generation bigint NOT NULL,
    position   bigint NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    data       json NOT NULL,
    PRIMARY KEY (generation, collection, key)
) WITH (fillfactor = 50);

CREATE TABLE sequences (
    generation   bigint NOT NULL,
    key          text COLLATE "C" NOT NULL,
    state        text NOT NULL,
    position     bigint NOT NULL,
    attempts     integer NOT NULL,
    next_attempt timestamptz,
    kind         text NOT NULL,
    error        text NOT NULL,
    stack        text NOT NULL,
    digest       text NOT NULL,
    since        timestamptz NOT NULL,
    PRIMARY KEY (generation, key)
);

CREATE TABLE sequence_events (
    generation bigint NOT NULL,
    key        text COLLATE "C" NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (generation, key, position)
);

-- Which module made which positions: from from_position (exclusive) to the next span's, or to the checkpoint.
CREATE TABLE module_spans (
    generation    bigint NOT NULL,
    from_position bigint NOT NULL,
    digest        text NOT NULL,
    since         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (generation, from_position)
);

CREATE VIEW read_models AS
SELECT p.name AS plugin, d.collection, d.key, d.data, d.position
FROM plugins p JOIN documents d ON d.generation = p.live_generation;

COMMENT ON VIEW read_models IS $$
Every plugin's documents, for ad-hoc SQL:
    SELECT key, data->>'balance' FROM eshost.read_models WHERE plugin = 'balances' AND collection = 'accounts';$$;

-- An application may store anything under any content type: what cannot be shown as it claims is shown in base64.
CREATE FUNCTION show_data(data bytea, content_type text) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF content_type LIKE '%json%' THEN
        RETURN convert_from(data, 'UTF8')::json;
    ELSIF content_type LIKE 'text/%' THEN
        RETURN to_json(convert_from(data, 'UTF8'));
    END IF;
    RETURN to_json(encode(data, 'base64'));
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN to_json(encode(data, 'base64'));
END $$;

CREATE VIEW event_log AS
SELECT position, time, stream_type, stream, version, type,
       show_data(data, content_type) AS data, metadata, content_type, id
FROM events;

COMMENT ON VIEW event_log IS $$
The events with their data as JSON, for ad-hoc SQL:
    SELECT time, type, data->>'amount' FROM eshost.event_log WHERE stream = 'account-7' ORDER BY position;$$;

CREATE FUNCTION append_event(
    stream text, type text, data json, expected_version bigint DEFAULT NULL, stream_type text DEFAULT NULL,
    metadata json DEFAULT '{}', id text DEFAULT gen_random_uuid()::text
) RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    head record;
    drawn bigint;
BEGIN
    SELECT e.version, e.stream_type INTO head FROM events e WHERE e.stream = append_event.stream ORDER BY e.version DESC LIMIT 1;
    IF coalesce(head.version, 0) <> coalesce(expected_version, head.version, 0) THEN
        RAISE EXCEPTION 'stream "%" is at version %, expected %', append_event.stream, coalesce(head.version, 0), expected_version
            USING ERRCODE = 'unique_violation';
    END IF;
    INSERT INTO events (stream, stream_type, version, id, type, data, metadata)
    VALUES (append_event.stream, coalesce(append_event.stream_type, head.stream_type, ''), coalesce(head.version, 0) + 1,
            append_event.id, append_event.type, convert_to(append_event.data::text, 'UTF8'), append_event.metadata)
    RETURNING position INTO drawn;
    RETURN drawn;
END $$;

COMMENT ON FUNCTION append_event IS $$
Appends one event to the end of a stream, in the caller's transaction, and returns its position:
    SELECT eshost.append_event('account-7', 'Deposited', '{"amount": 5}');
Fails with unique_violation if the stream is not at expected_version, or another writer was faster.$$;
