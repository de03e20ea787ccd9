package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/novaura/acs-operator/internal/redact"
)

// Password is where the password is kept, when it may change while we run. It
// is called from many goroutines.
type Password interface {
	Get(ctx context.Context) (redact.Secret, error)
	// Refused says that the server did not take what Get returned.
	Refused()
}

// How PostgreSQL refuses a login (appendix A of its manual, class 28).
const (
	invalidPassword      = "28P01"
	invalidAuthorization = "28000"
)

// refusals tells a Password of each connection that the server refused.
type refusals struct{ Password }

var _ pgx.ConnectTracer = refusals{}

// TraceConnectStart implements pgx.ConnectTracer.
func (refusals) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd implements pgx.ConnectTracer.
func (r refusals) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	if refused := (*pgconn.PgError)(nil); errors.As(data.Err, &refused) &&
		(refused.Code == invalidPassword || refused.Code == invalidAuthorization) {
		r.Refused()
	}
}

// TraceQueryStart implements pgx.QueryTracer, which pgx asks every tracer to be.
func (refusals) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (refusals) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
