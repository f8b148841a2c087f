// Package store says what eshost needs of a database: an event log that never loses its order, and
// a state in which a plugin's documents, emitted events, parked rows and checkpoint change together.
//
// Two drivers implement it, sqlite and postgres; the suite in storetest holds both to these comments.
package store

import (
	"context"
	"time"

	"eshost/host/event"
)

// Store is one open database.
type Store interface {
	Log
	State
	// Describe names the server and database for people, without secrets.
	Describe() string
	// Identity tells the database from others. It is the same for all who open it, wherever they are, and after a failover;
	// of letters, digits and hyphens. A copy on another server or in another file has the identity of the original.
	Identity(ctx context.Context) (string, error)
	// Close frees everything the store holds. Tails must be closed first.
	Close() error
}

// Log is the events table.
type Log interface {
	// Append stores the requests in one transaction and answers each of them, in order. A request is
	// stored whole or not at all; one that is refused (ErrVersionConflict, ErrIDConflict, ErrInvalid)
	// does not touch the others. Positions are answered only when durable. Within a call later
	// requests see the earlier ones. An error that is none of the above reaches every request that
	// may not have been stored.
	Append(ctx context.Context, reqs []AppendRequest) []AppendResult

	// Read returns events of (After, UpTo] in position order. The batch's UpTo says how far it
	// covers: UpTo of the options, or less where a limit ended it early. The caller answers for
	// UpTo being at or below the watermark.
	Read(ctx context.Context, o ReadOptions) (event.Batch, error)

	// PositionBefore returns the highest position below every event recorded at or after t.
	PositionBefore(ctx context.Context, t time.Time) (event.Position, error)

	// PositionAt returns the highest position, at most upTo, of an event recorded at t or before, 0 if there is none, and
	// how many of the events below it were recorded after t: producers' times need not rise with positions. The caller
	// answers for upTo being at or below the watermark.
	PositionAt(ctx context.Context, t time.Time, upTo event.Position) (p event.Position, later int64, err error)

	// Tail starts a reader of the log's end. Every event at or below floor is known to be final.
	Tail(floor event.Position) Tail
}

// ReadOptions bounds a Read.
type ReadOptions struct {
	After event.Position
	UpTo  event.Position
	// Filter is applied in the database.
	Filter event.Filter
	// Stream restricts the read to one stream. Empty means all.
	Stream string
	// Versions restricts a read of one stream further. Nil means all.
	Versions *Versions
	// Limit is the most events to return. Must be at least 1.
	Limit int
	// MaxBytes ends the batch after the event that reaches it. 0 means no such bound.
	MaxBytes int
}

// Versions are those of (After, UpTo].
type Versions struct{ After, UpTo int64 }

// Tail follows the end of the log and proves which positions are final. One goroutine uses it at a time.
//
// Invariant 1: a position at or below a published watermark is final: the event there is visible to
// every later read, or there will never be one.
type Tail interface {
	// Poll looks once. It does not wait. It fails with ErrLogWentBack when positions it has seen
	// are handed out again.
	Poll(ctx context.Context, limit int) (TailState, error)
	Close()
}

// TailState is what one Poll saw.
type TailState struct {
	// Watermark never falls from one Poll to the next.
	Watermark event.Position
	// Head is the highest position handed out; above Watermark while writers are still open.
	Head event.Position
	// Events are the events of (previous watermark, Watermark], in order, if Complete. A span of more
	// than limit events, and the first Poll, are not complete and carry none: read them with Read.
	Events   []event.Event
	Complete bool
	// Holders names who keeps Watermark below Head, once it has been held for a moment. May be empty
	// for the first polls of a hold.
	Holders []Holder
	// Bell counts what other hosts should look at: a lease that was given up, a host that joined or left, a request, a
	// pause that began or ended. It rises soon after the change can be seen; only that it differs from the last Poll's
	// matters.
	Bell int64
}

// Holder is a transaction that may still commit an event below Head.
type Holder struct {
	PID         int32         // 0 for a prepared transaction
	Application string        // application_name, or the prepared transaction's gid
	User        string        // empty where this role may not see it
	State       string        // active, idle in transaction, prepared, …
	Age         time.Duration // of its transaction
}

// State is everything the host itself keeps.
type State interface {
	// RegisterHost writes or renews a host's row; its leases hold until ttl from now by the
	// database's clock. It rings the bell unless the row was there, alive and the same. It also forgets
	// hosts that have been dead for a day.
	RegisterHost(ctx context.Context, h Host, ttl time.Duration) error
	// RenewHost makes a host's leases hold until ttl from now, at little cost, or fails with ErrNotFound if
	// the host must register anew.
	RenewHost(ctx context.Context, hostID string, ttl time.Duration) error
	// RemoveHost gives up every lease of the host, and rings the bell.
	RemoveHost(ctx context.Context, hostID string) error
	// Hosts lists all registered hosts, expired ones included.
	Hosts(ctx context.Context) ([]Host, error)

	// EnsurePlugin returns the root of the plugin's live generation and makes the plugin, its first
	// generation split into so many partitions that all start after start, if there is none. What is there
	// keeps the partitions and the order it has.
	EnsurePlugin(ctx context.Context, plugin string, start event.Position, partitions int, orderBy string) (Generation, error)
	// FindPlugin returns the root of the plugin's live generation, with the lowest position of its partitions, or
	// ErrNotFound.
	FindPlugin(ctx context.Context, plugin string) (Generation, error)
	// Partitions returns a generation's partitions in order, the root first, or ErrNotFound.
	Partitions(ctx context.Context, root int64) ([]Generation, error)
	// Units returns all partitions of all live generations and of those being built, by plugin, number and
	// partition, in one statement.
	Units(ctx context.Context) ([]Unit, error)
	// Acquire makes the host the owner of a partition under a new epoch, if it has no owner, is
	// already owned by this host, or its owner's registration has expired or is gone; else it fails
	// with a *LeaseHeldError. It fails with ErrNotFound for one that was merged into others.
	Acquire(ctx context.Context, generation int64, hostID string) (Lease, error)
	// Release ends the lease if its epoch is still the current one, and rings the bell.
	Release(ctx context.Context, generation, epoch int64) error
	// Repartition splits a plugin's live generation anew, in one transaction, after which nobody owns any of
	// it, and rings the bell. It fails with ErrLeaseLost unless the leases are those of all its partitions,
	// with ErrCheckpointMoved unless they all stand at Position, and with ErrBuilding while a generation of
	// the plugin is being built.
	Repartition(ctx context.Context, r Repartition) error

	// Commit applies a batch's outcome in one transaction, or nothing of it. It fails with
	// ErrLeaseLost if owner and epoch are not the current ones, with ErrCheckpointMoved if the checkpoint is
	// not at Expected, and with ErrAnswered if a request it answers is not pending any more. It does not look
	// whether the lease has expired: an owner nobody replaced may go on. What no database would keep is named in an *InvalidError or *IDConflictError. Any other
	// error may leave open whether the commit was applied: Acquire again before the next one, which
	// settles it. One that begins or ends a pause rings the bell.
	//
	// Invariant 2: documents, emitted events, parked rows and checkpoint change together, under the epoch.
	Commit(ctx context.Context, c Commit) error
	// NotePosition records the checkpoint of a read model that is kept elsewhere. It fails with ErrLeaseLost.
	NotePosition(ctx context.Context, n Note) error
	// Origin returns where a generation, named by its root, began, and whether its documents are kept elsewhere. It fails
	// with ErrNotFound.
	Origin(ctx context.Context, generation int64) (Origin, error)
	// SetCondition records why a plugin stands still, or that it runs. It fails with ErrLeaseLost.
	SetCondition(ctx context.Context, generation, epoch int64, c Condition) error

	// Documents returns those of the named documents that exist, in no particular order. All partitions of a
	// generation keep theirs under its root.
	Documents(ctx context.Context, generation int64, keys []DocumentKey) ([]event.Document, error)
	// Scan returns documents of one collection in byte order of their keys.
	Scan(ctx context.Context, generation int64, o ScanOptions) ([]event.Document, error)
	// Collections lists the collections that have documents.
	Collections(ctx context.Context, generation int64) ([]string, error)

	// Sequences returns every failing or parked sequence of one partition, in order of Position.
	Sequences(ctx context.Context, generation int64) ([]Sequence, error)

	// The next four look in all partitions of a generation, whichever of them is named.

	// Queued returns the first events that wait in a sequence, in position order, the failed one first.
	Queued(ctx context.Context, generation int64, key string, limit int) ([]event.Event, error)
	// FindSequence returns one sequence, or ErrNotFound.
	FindSequence(ctx context.Context, generation int64, key string) (Sequence, error)
	// SequenceWith returns the sequence in which an event waits, or ErrNotFound.
	SequenceWith(ctx context.Context, generation int64, p event.Position) (Sequence, error)
	// ListSequences returns some of a generation's sequences, in order of Position, without their stacks.
	ListSequences(ctx context.Context, generation int64, o SequenceOptions) ([]Sequence, error)

	// Ask keeps a request until the plugin's owner answers it, rings the bell, and returns its id. It fails with an
	// *InvalidError, and with ErrTooManyRequests if MaxPending of the plugin's are pending.
	Ask(ctx context.Context, r Request) (id int64, err error)
	// Request returns one request with its data, or ErrNotFound.
	Request(ctx context.Context, id int64) (Request, error)
	// PendingRequests returns what nobody has answered yet, of all plugins, the oldest first, without
	// data. It costs next to nothing when there is none.
	PendingRequests(ctx context.Context) ([]Request, error)
	// RequestLog returns the newest of a plugin's requests, the newest first, at most limit of them, without data.
	RequestLog(ctx context.Context, plugin string, limit int) ([]Request, error)
	// AnswerRequest settles a request that no Commit carries out. With a generation it does so under the
	// owner's epoch, and fails with ErrLeaseLost; generation 0 is for who owns none. It fails with
	// ErrAnswered if the request is not pending.
	AnswerRequest(ctx context.Context, generation, epoch int64, a Answer) error
	// Replacements lists what was put in the place of events' data for a plugin, in order of position, without data.
	Replacements(ctx context.Context, plugin string) ([]Replacement, error)
	// Replacement returns one with its data, or ErrNotFound.
	Replacement(ctx context.Context, plugin string, p event.Position) (Replacement, error)
	// Paused returns who paused a plugin, nil if nobody did or there is no such plugin.
	Paused(ctx context.Context, plugin string) (*Pause, error)

	// Plugins returns the state of every plugin in the store, by name.
	Plugins(ctx context.Context) ([]PluginStatus, error)
	// BuildGeneration adds a generation to a plugin that exists, after start and under no lease, to be built
	// with a stored module or, where module is empty, the declared one, and returns its root. It has the live
	// one's partitions and order. Everything it emits is held back. It rings the bell. It fails with ErrLeaseLost unless by
	// leads the plugin, with ErrBuilding if there is one already, and with ErrNotFound without the plugin or the module.
	BuildGeneration(ctx context.Context, by Leader, plugin string, start event.Position, module string) (Generation, error)
	// Generations returns a plugin's generations, the newest first.
	Generations(ctx context.Context, plugin string) ([]GenerationStatus, error)
	// NotLive returns the generations of all plugins that are being built, retired or being dropped.
	NotLive(ctx context.Context) ([]GenerationStatus, error)
	// SwitchGeneration makes a switch in one transaction: no reader sees anything between, and none sees
	// both. It rings the bell. It fails with ErrLeaseLost unless the leases are those of all partitions of both or
	// if To is being dropped, with ErrCheckpointMoved if From is not the live generation any more or, unless it
	// is a rollback, a partition does not stand where the one does that it takes the place of, and with ErrAnswered like Commit.
	SwitchGeneration(ctx context.Context, s Switch) error
	// DropGeneration deletes at most so many documents of a generation and, once none are left, the rest of it with all
	// partitions it ever had. It reports whether it is gone. It fails with ErrLive for the live one, and with ErrLeaseLost
	// where it may not be dropped, see Drop.
	DropGeneration(ctx context.Context, d Drop) (gone bool, err error)
	// PutModule keeps a module's bytes under their digest.
	PutModule(ctx context.Context, digest string, wasm []byte) error
	// Module returns the bytes of a stored module, or ErrNotFound.
	Module(ctx context.Context, digest string) ([]byte, error)
	// FindStandIn returns what stands in for a plugin's declared module.
	FindStandIn(ctx context.Context, plugin string) (StandIn, error)
	// RecordReload adds to the history of a plugin's modules.
	RecordReload(ctx context.Context, r Reload) error
	// Reloads returns the newest of a plugin's reloads, the newest first, at most limit of them.
	Reloads(ctx context.Context, plugin string, limit int) ([]Reload, error)
	// Diverged lists the checkpoints of live generations that the log does not bear out.
	Diverged(ctx context.Context) ([]Diverged, error)
	// Recover has a plugin begin again on the log as it is now, in one transaction. It fails with ErrNotFound without the
	// plugin, and with an *InvalidError, as where After is above the last event.
	Recover(ctx context.Context, r Recovery) (Recovered, error)
	// Spans returns which module made which positions of one partition, in order.
	Spans(ctx context.Context, generation int64) ([]ModuleSpan, error)
}

// Generation is one build of a plugin's read model, or one partition of it: each has a checkpoint and a lease.
type Generation struct {
	ID       int64 // the partition's own
	Plugin   string
	Number   int            // 1 for the first
	Position event.Position // the checkpoint
	Epoch    int64
	// Root is the ID of the generation's first partition, which stands for the generation and has its documents.
	Root       int64
	Partition  int    // 0 for the root
	Partitions int    // how many the generation has
	OrderBy    string // what gives events their ordering keys
}

// Lease is the right to change a partition of a generation.
type Lease struct {
	Epoch    int64
	Position event.Position // the checkpoint when the lease was taken
	// Partitions and OrderBy are the generation's since before the lease, until it ends.
	Partitions int
	OrderBy    string
}

// Commit is the outcome of one batch.
type Commit struct {
	Generation int64 // a partition's
	// Root is the generation that the documents belong to. Defaults to Generation.
	Root int64
	// Owner and Epoch are the lease. Neither is enough: a database that fails over and loses its last commits may
	// give an epoch again, to another host.
	Owner    string
	Epoch    int64
	Expected event.Position // the checkpoint before
	Position event.Position // the checkpoint after; equal to Expected when only parked sequences moved
	// Digest is the SHA-256 of the module that handled the batch, in hex. Invariant 8: it is recorded
	// with the first position it applied to whenever it changes. Empty when no module took part (a
	// person skipped a parked event): the record stays as it is.
	Digest string
	// Documents holds the last write per document only.
	Documents []event.DocumentWrite
	// Emitted is in the order one instance handling one event at a time would have emitted.
	Emitted []event.Emitted
	// Queue adds events to sequences, Dequeue removes them: both before Sequences is applied.
	Queue   []QueuedEvent
	Dequeue []QueuedEvent
	// Sequences are written as they are; one with no State is deleted.
	Sequences []Sequence
	// Replacements are kept for the generation's plugin, each in the place of one that was there before.
	Replacements []Replacement
	// Pause begins or ends a person's pause of the plugin. Nil leaves it as it is.
	Pause *Pause
	// Answers settle the requests that the commit carries out. All of them must be pending: so nothing is
	// carried out twice, whatever became of an earlier commit.
	Answers []Answer
}

// DocumentKey names a document.
type DocumentKey struct{ Collection, Key string }

// ScanOptions selects documents of one collection.
type ScanOptions struct {
	Collection string
	Prefix     string // keys that begin so
	After      string // keys above this one; empty means from the first
	Limit      int    // at least 1
}

// SequenceState says what happens to a failing sequence next.
type SequenceState string

const (
	// Retrying sequences are tried again at NextAttempt.
	Retrying SequenceState = "retrying"
	// Parked sequences wait for a person.
	Parked SequenceState = "parked"
)

// Sequence is the events of one ordering key that wait behind a failed one.
type Sequence struct {
	Key         string
	State       SequenceState
	Position    event.Position // the failed event
	Attempts    int            // of that event
	NextAttempt time.Time
	Kind        event.FailureKind
	Error       string
	Stack       string
	Digest      string // of the module that failed
	Since       time.Time
	// Waiting counts the queued events, the failed one included. Set on reading.
	Waiting int
}

// QueuedEvent is one event in a sequence.
type QueuedEvent struct {
	Key      string
	Position event.Position
}

// Condition is whether a plugin moves and, if not, why. Invariant 9: nothing waits in silence.
type Condition struct {
	State  ConditionState
	Reason string // one sentence with the cause and the way out; empty when running
	Since  time.Time
}

// ConditionState is a plugin's condition in one word.
type ConditionState string

const (
	// Running plugins handle events as they come.
	Running ConditionState = "running"
	// Paused plugins stand still until what Reason says is mended.
	Paused ConditionState = "paused"
	// Quarantined plugins have a module that does nothing but crash; it is hardly tried before it is replaced.
	Quarantined ConditionState = "quarantined"
	// BackingOff plugins met trouble of the host's own and try again by themselves.
	BackingOff ConditionState = "backing off"
)

// ModuleSpan says that one module handled the positions of (From, To].
type ModuleSpan struct {
	Digest string
	From   event.Position
	To     event.Position
	Since  time.Time
}
