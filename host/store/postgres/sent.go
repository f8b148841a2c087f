package postgres

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// sent counts the statements that all connections of a store have sent. pgx tells it of each as a tracer.
type sent struct{ n atomic.Uint64 }

var (
	_ pgx.QueryTracer = (*sent)(nil)
	_ pgx.BatchTracer = (*sent)(nil)
)

func (s *sent) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}

func (*sent) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *sent) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	s.n.Add(uint64(d.Batch.Len()))
	return ctx
}

func (*sent) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (*sent) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// Statements is how many statements the store has sent to the server since it was opened, BEGIN and COMMIT included.
func (s *Store) Statements() uint64 { return s.target.sent.n.Load() }
