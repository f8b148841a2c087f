package postgres

import (
	"strconv"
	"strings"
)

// statements is all SQL that runs often, built once from the mapping. What runs rarely stands where it is
// used and gets its names from rare.
type statements struct {
	names                                                             *strings.Replacer
	lookUp, insert                                                    string
	read, readTypes, readBounded, readTypesBounded, readStream        string
	firstSince, lastUntil                                             string
	head, headFlushed, headAtRest, newest, newestAt, lockers, holders string
	guard, whatNow, putDocuments, deleteDocuments, span               string
	queue, dequeue, putSequences, deleteSequences                     string
	ring                                                              string
	documents, scan, scanBelow, collections, sequences, queued, spans string
	registerHost, renewHost, sweepHosts, removeHost, releaseAll       string
	hosts, findPlugin, addPlugin, lockPlugin, setLive, units          string
	lockGeneration, acquire, owner, release, setCondition, plugins    string
	diverged                                                          string
}

func newStatements(names *strings.Replacer, sequence string, partitioned bool) *statements {
	sequenceID := "'" + strings.ReplaceAll(sequence, "'", "''") + "'::regclass"
	sql := func(s string) string { return names.Replace(strings.TrimSpace(s)) }
	bell := "'" + strings.ReplaceAll(names.Replace("{bell}"), "'", "''") + "'::regclass"
	lastRing := `coalesce(pg_sequence_last_value(` + bell + `), 0)` // NULL before the first
	relations := "$1::text::regclass"
	if partitioned { // an INSERT into a partition or a child itself locks that one alone
		relations = `ANY (ARRAY(WITH RECURSIVE family AS (
            SELECT $1::text::regclass::oid AS oid UNION SELECT inhrelid FROM pg_inherits JOIN family ON inhparent = oid)
        SELECT oid FROM family))`
	}
	return &statements{
		names: names,
		// The two halves must share one snapshot: a stream's version without the event that made it
		// would turn a retry into a conflict.
		lookUp: sql(`
SELECT NULL::bigint, q.stream, h.stream_type, h.version, NULL::text, NULL::text, NULL::bytea, NULL::json, NULL::text, NULL::timestamptz
FROM unnest($1::text[]) AS q (stream)
CROSS JOIN LATERAL (SELECT {version} AS version, {stream_type} AS stream_type FROM {events} WHERE {stream} = q.stream ORDER BY {version} DESC LIMIT 1) h
UNION ALL
SELECT e.* FROM unnest($2::text[]) AS q (id)
CROSS JOIN LATERAL (SELECT {event} FROM {events} WHERE {id} = q.id OFFSET 0) e`),

		// INSERT … SELECT … ORDER BY draws the positions in that order.
		insert: sql(`
INSERT INTO {events} ({stream}, {stream_type}, {version}, {id}, {type}, {data}, {metadata}, {content_type}, {time})
SELECT e.stream, e.stream_type, e.version, e.id, e.type, e.data, e.metadata, e.content_type, coalesce(e.time, clock_timestamp())
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::json[], $8::text[], $9::timestamptz[])
     WITH ORDINALITY AS e (stream, stream_type, version, id, type, data, metadata, content_type, time, n)
ORDER BY e.n
RETURNING {position}, {version}`),

		read: sql(`SELECT {event} FROM {events} WHERE {position} > $1 AND {position} <= $2 ORDER BY {position} LIMIT $3`),
		readTypes: sql(`
SELECT {event} FROM {events} WHERE {position} > $1 AND {position} <= $2 AND {type} = ANY ($4::text[]) ORDER BY {position} LIMIT $3`),
		readBounded:      sql(boundedBy("$4", `{events} WHERE {position} > $1 AND {position} <= $2`)),
		readTypesBounded: sql(boundedBy("$5", `{events} WHERE {position} > $1 AND {position} <= $2 AND {type} = ANY ($4::text[])`)),
		// OFFSET 0 keeps the planner from walking the whole log by position to find one stream.
		readStream: sql(boundedBy("$6", `
    (SELECT {event} FROM {events}
     WHERE {stream} = $5 AND {version} > $7 AND {version} <= $8 AND {position} > $1 AND {position} <= $2
       AND (cardinality($4::text[]) = 0 OR {type} = ANY ($4::text[]))
     OFFSET 0) of_stream`)),
		firstSince: sql(`SELECT min({position}) FROM {events} WHERE {time} >= $1 AND {position} <= $2`),
		lastUntil: sql(`
WITH last AS (SELECT coalesce(max({position}), 0) AS at FROM {events} WHERE {time} <= $1 AND {position} <= $2)
SELECT last.at, (SELECT count(*) FROM {events} WHERE {time} > $1 AND {position} <= last.at) FROM last`),

		// The function reads the sequence under its buffer's lock. SELECT last_value does not: it may see a
		// value up to 32 too high that nextval() writes for a moment, to log it ahead.
		head:        sql(`SELECT pg_sequence_last_value(` + sequenceID + `), ` + lastRing),
		headFlushed: sql(`SELECT pg_sequence_last_value(` + sequenceID + `), ` + lastRing + `, pg_current_wal_flush_lsn() >= $1::text::pg_lsn`),
		headAtRest:  sql(`SELECT last_value - 1 FROM ` + sequence),
		newest:      sql(`SELECT {position}, {id} FROM {events} ORDER BY {position} DESC LIMIT 1`),
		newestAt:    sql(`SELECT {position}, {id} FROM {events} WHERE {position} <= $1 ORDER BY {position} DESC LIMIT 1`),
		// A left join, so that a row comes back, with the time and place in the WAL, where nobody holds the lock.
		lockers: sql(`
SELECT pg_postmaster_start_time()::text, pg_current_wal_insert_lsn()::text, l.virtualtransaction
FROM (VALUES (1)) one
LEFT JOIN (
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation = ` + relations + `
) l ON true`),
		holders: sql(`
SELECT DISTINCT coalesce(l.pid, 0), coalesce(a.application_name, p.gid, ''), coalesce(a.usename, p.owner, '')::text,
       CASE WHEN l.pid IS NULL THEN 'prepared' ELSE coalesce(a.state, '') END,
       coalesce(extract(epoch FROM statement_timestamp() - coalesce(a.xact_start, p.prepared)), 0)::float8 AS age
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.virtualtransaction = ANY ($1::text[]) AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
  AND (l.pid IS NOT NULL OR p.gid IS NOT NULL)
ORDER BY age DESC LIMIT 10`),

		// Invariant 2: where owner, epoch or checkpoint is another, the division by zero ends the
		// transaction before anything is written.
		guard: sql(`
WITH moved AS (
    UPDATE {generations} SET position = $4, updated_at = clock_timestamp(), digest = CASE WHEN $5::text = '' THEN digest ELSE $5::text END,
        mark = ` + markAt("$4") + `
    WHERE id = $1 AND epoch = $2 AND position = $3 AND owner = $6 AND root = $7
    RETURNING 1
) SELECT 1 / count(*) FROM moved`),
		whatNow: sql(`SELECT epoch, position, coalesce(owner, ''), root FROM {generations} WHERE id = $1`),
		putDocuments: sql(`
INSERT INTO {documents} (generation, position, collection, key, data)
SELECT $1::bigint, d.position, d.collection, d.key, d.data
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::json[]) AS d (position, collection, key, data)
ON CONFLICT (generation, collection, key) DO UPDATE SET position = excluded.position, data = excluded.data`),
		// By row address, so that the planner cannot choose to read the whole table.
		deleteDocuments: sql(`
DELETE FROM {documents} WHERE ctid = ANY (ARRAY(
    SELECT d.ctid FROM unnest($2::text[], $3::text[]) AS q (collection, key)
    CROSS JOIN LATERAL (SELECT ctid FROM {documents} WHERE generation = $1 AND collection = q.collection AND key = q.key OFFSET 0) d))`),
		span: sql(`
INSERT INTO {module_spans} (generation, from_position, digest)
SELECT $1::bigint, $2::bigint, $3::text
WHERE $3::text IS DISTINCT FROM (SELECT digest FROM {module_spans} WHERE generation = $1 ORDER BY from_position DESC LIMIT 1)
ON CONFLICT (generation, from_position) DO UPDATE SET digest = excluded.digest, since = excluded.since`),
		queue: sql(`
INSERT INTO {sequence_events} (generation, key, position)
SELECT $1::bigint, q.key, q.position FROM unnest($2::text[], $3::bigint[]) AS q (key, position) ON CONFLICT DO NOTHING`),
		dequeue: sql(`
DELETE FROM {sequence_events} WHERE ctid = ANY (ARRAY(
    SELECT s.ctid FROM unnest($2::text[], $3::bigint[]) AS q (key, position)
    CROSS JOIN LATERAL (SELECT ctid FROM {sequence_events} WHERE generation = $1 AND key = q.key AND position = q.position OFFSET 0) s))`),
		putSequences: sql(`
INSERT INTO {sequences} (generation, key, state, position, attempts, next_attempt, kind, error, stack, digest, since)
SELECT $1::bigint, s.*
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::int[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[]) AS s
ON CONFLICT (generation, key) DO UPDATE SET state = excluded.state, position = excluded.position, attempts = excluded.attempts,
    next_attempt = excluded.next_attempt, kind = excluded.kind, error = excluded.error, stack = excluded.stack,
    digest = excluded.digest, since = excluded.since`),
		deleteSequences: sql(`DELETE FROM {sequences} WHERE generation = $1 AND key = ANY ($2::text[])`),

		documents: sql(`
SELECT q.collection, q.key, d.data FROM unnest($2::text[], $3::text[]) AS q (collection, key)
CROSS JOIN LATERAL (SELECT data FROM {documents} WHERE generation = $1 AND collection = q.collection AND key = q.key OFFSET 0) d`),
		scan: sql(`
SELECT collection, key, data FROM {documents}
WHERE generation = $1 AND collection = $2 AND key >= $3 AND ($4 = '' OR key > $4) ORDER BY key LIMIT $5`),
		scanBelow: sql(`
SELECT collection, key, data FROM {documents}
WHERE generation = $1 AND collection = $2 AND key >= $3 AND ($4 = '' OR key > $4) AND key < $6 ORDER BY key LIMIT $5`),
		// From each collection to the next: the number of documents does not matter.
		collections: sql(`
WITH RECURSIVE c AS (
    (SELECT collection FROM {documents} WHERE generation = $1 ORDER BY collection LIMIT 1)
    UNION ALL
    SELECT (SELECT d.collection FROM {documents} d WHERE d.generation = $1 AND d.collection > c.collection ORDER BY d.collection LIMIT 1)
    FROM c WHERE c.collection IS NOT NULL
) SELECT collection FROM c WHERE collection IS NOT NULL`),
		sequences: sql(`
SELECT key, state, position, attempts, next_attempt, kind, error, stack, digest, since,
       (SELECT count(*) FROM {sequence_events} e WHERE e.generation = s.generation AND e.key = s.key)
FROM {sequences} s WHERE generation = $1 ORDER BY position, key`),
		queued: sql(`
SELECT e.* FROM (SELECT position AS queued FROM {sequence_events} WHERE ` + ofFamily + ` AND key = $2 ORDER BY position LIMIT $3) q
CROSS JOIN LATERAL (SELECT {event} FROM {events} WHERE {position} = q.queued OFFSET 0) e ORDER BY q.queued`),
		spans: sql(`
SELECT s.digest, s.from_position, coalesce(lead(s.from_position) OVER (ORDER BY s.from_position), g.position), s.since
FROM {module_spans} s JOIN {generations} g ON g.id = s.generation WHERE s.generation = $1 ORDER BY s.from_position`),

		// Tells whether others should look: the host is new, was dead, or declares something else than before.
		registerHost: sql(`
WITH before AS (
    SELECT weight, declares::text AS declares, expires_at > clock_timestamp() AS alive FROM {hosts} WHERE id = $1
)
INSERT INTO {hosts} AS h (id, name, process, started_at, expires_at, weight, declares)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 microsecond', $6, $7::text::json)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, process = excluded.process, started_at = excluded.started_at, expires_at = excluded.expires_at,
    weight = excluded.weight, declares = excluded.declares,
    declared_at = CASE WHEN h.weight = excluded.weight AND h.declares::text = excluded.declares::text THEN h.declared_at ELSE clock_timestamp() END
RETURNING NOT EXISTS (SELECT 1 FROM before b WHERE b.alive AND b.weight = h.weight AND b.declares = h.declares::text)`),
		renewHost:  sql(`UPDATE {hosts} SET expires_at = clock_timestamp() + $2 * interval '1 microsecond' WHERE id = $1`),
		sweepHosts: sql(`DELETE FROM {hosts} WHERE expires_at < clock_timestamp() - interval '1 day' AND id <> $1`),
		removeHost: sql(`DELETE FROM {hosts} WHERE id = $1`),
		releaseAll: sql(`UPDATE {generations} SET owner = NULL WHERE owner = $1`),
		hosts: sql(`
SELECT id, name, process, started_at, ` + leftOf("expires_at") + `, weight, declares::text, declared_at FROM {hosts} ORDER BY started_at, id`),

		findPlugin: sql(`
SELECT ` + rootColumns + ` FROM {plugins} p JOIN {generations} g ON g.id = p.live_generation WHERE p.name = $1`),
		addPlugin:  sql(`INSERT INTO {plugins} (name) VALUES ($1) ON CONFLICT DO NOTHING`),
		lockPlugin: sql(`SELECT live_generation FROM {plugins} WHERE name = $1 FOR UPDATE`),
		setLive:    sql(`UPDATE {plugins} SET live_generation = $2 WHERE name = $1`),
		units: sql(`
SELECT ` + generationColumns + `, g.state, coalesce(g.owner, ''), coalesce(h.expires_at > clock_timestamp(), false), p.paused_by
FROM {generations} g JOIN {plugins} p ON p.name = g.plugin LEFT JOIN {hosts} h ON h.id = g.owner
WHERE g.state IN ('live', 'building') ORDER BY g.plugin, g.number, g.partition`),

		// The lock first and the look at the owner's registration in the next statement: a snapshot
		// from before the wait could miss a registration that is younger.
		lockGeneration: sql(`SELECT 1 FROM {generations} WHERE id = $1 AND state <> 'merged' FOR UPDATE`),
		acquire: sql(`
UPDATE {generations} g SET owner = $2, epoch = epoch + 1, updated_at = clock_timestamp(), mark = ` + markAt("g.position") + `
WHERE id = $1 AND state <> 'merged' AND (` + marked + ` IS NOT TRUE OR g.mark = ` + markAt("g.position") + `) AND (owner IS NULL OR owner = $2
    OR NOT EXISTS (SELECT 1 FROM {hosts} h WHERE h.id = g.owner AND h.expires_at > clock_timestamp()))
RETURNING epoch, position, partitions, order_by`),
		// To this the caller adds which generations.
		diverged: sql(`
SELECT g.plugin, g.number, g.partition, g.position, g.mark, n.mark
FROM {generations} g CROSS JOIN LATERAL (SELECT `+markAt("g.position")+` AS mark OFFSET 0) n
WHERE `+marked+` AND g.mark <> n.mark AND `) + " ",
		owner: sql(`
SELECT h.id, h.name, h.process, h.started_at, ` + leftOf("h.expires_at") + `
FROM {generations} g JOIN {hosts} h ON h.id = g.owner WHERE g.id = $1`),
		ring:    sql(`SELECT nextval(` + bell + `)`),
		release: sql(`UPDATE {generations} SET owner = NULL WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL`),
		setCondition: sql(`
UPDATE {generations} SET condition = $3, reason = $4, condition_since = coalesce($5, clock_timestamp())
WHERE id = $1 AND epoch = $2 AND owner IS NOT NULL`),
		plugins: sql(`
SELECT ` + generationColumns + `, g.condition, g.reason, g.condition_since, g.digest, g.updated_at,
       g.owner, h.name, h.process, h.started_at, ` + leftOf("h.expires_at") + `,
       s.retrying, s.parked, (SELECT count(*) FROM {sequence_events} e WHERE e.generation = g.id),
       f.key, f.state, f.position, f.attempts, f.next_attempt, f.kind, f.error, f.stack, f.digest, f.since,
       (SELECT count(*) FROM {sequence_events} e WHERE e.generation = g.id AND e.key = f.key),
       p.paused_by, p.paused_why, p.paused_at
FROM {plugins} p
JOIN {generations} g ON g.root = p.live_generation AND g.state <> 'merged'
LEFT JOIN {hosts} h ON h.id = g.owner
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'retrying') AS retrying, count(*) FILTER (WHERE state = 'parked') AS parked
    FROM {sequences} WHERE generation = g.id) s
LEFT JOIN LATERAL (SELECT * FROM {sequences} WHERE generation = g.id ORDER BY position, key LIMIT 1) f ON true
ORDER BY p.name, g.partition`),
	}
}

// generationColumns are the fields of store.Generation.
const (
	generationColumns = columnsBefore + "g.position" + columnsAfter
	// rootColumns are those of a root with the lowest position of its partitions.
	rootColumns = columnsBefore + "(SELECT min(position) FROM {generations} WHERE root = g.id AND state <> 'merged')" + columnsAfter

	columnsBefore = "g.id, g.plugin, g.number, "
	columnsAfter  = ", g.epoch, g.root, g.partition, g.partitions, g.order_by"
)

// ofFamily is true for what belongs to any partition of the generation that the partition $1 is one of.
const ofFamily = "generation = ANY (ARRAY(SELECT id FROM {generations} WHERE root = (SELECT root FROM {generations} WHERE id = $1)))"

// rare puts the names into a statement.
func (s *statements) rare(sql string) string { return s.names.Replace(sql) }

// eventOverhead is what each event counts for in MaxBytes beside its data.
const eventOverhead = 256

// boundedBy reads no event after the one with which so many bytes are reached. octet_length does not
// fetch data that is stored out of line.
func boundedBy(bytes, source string) string {
	return `
SELECT {event} FROM (
    SELECT *, sum(octet_length({data}) + octet_length({metadata}::text) + ` + strconv.Itoa(eventOverhead) + `)
              OVER (ORDER BY {position} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS eshost_bytes_before
    FROM ` + source + `
    ORDER BY {position} LIMIT $3) bounded
WHERE coalesce(eshost_bytes_before, 0) < ` + bytes + ` ORDER BY {position}`
}

// leftOf is how long a registration still holds, in microseconds.
func leftOf(expiresAt string) string {
	return `(extract(epoch FROM ` + expiresAt + ` - clock_timestamp()) * 1000000)::bigint`
}
