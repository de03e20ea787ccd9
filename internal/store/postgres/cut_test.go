package postgres_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

// cutter passes bytes between a store and its server, and while it is armed
// loses the next answer and its connection with it.
type cutter struct {
	network, server string

	armed atomic.Bool
}

func (c *cutter) serve(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(ctx, c.network, c.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
		go func() {
			defer func() { _ = client.Close() }()
			answer := make([]byte, 64<<10)
			for {
				n, err := server.Read(answer)
				if err != nil || c.armed.CompareAndSwap(true, false) {
					return
				}
				if _, err := client.Write(answer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func TestAClaimWhoseAnswerIsCutOffIsHeardAtTheNextAsking(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	settings, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	between := &cutter{}
	between.network, between.server = pgconn.NetworkAddress(settings.Host, settings.Port)
	go between.serve(t.Context(), listener)
	query := address.Query()
	query.Del("host")
	query.Del("port")
	address.RawQuery, address.Host = query.Encode(), listener.Addr().String()
	db, err := postgres.Open(t.Context(), address.String(), postgres.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	between.armed.Store(true)
	results, err := db.Claim(t.Context(), "worker", time.Minute, []store.Claim{{ID: "m", Channel: "sms", PayloadHash: "h"}})
	if err != nil || results[0].Outcome != store.Granted || results[0].Event.Attempts != 1 {
		t.Errorf("got %+v, %v", results, err)
	}
	if between.armed.Load() {
		t.Error("no answer was cut off")
	}
}
