package postgres_test

import (
	"context"
	"fmt"
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

// cutter passes bytes between a store and its server, and loses the n-th answer
// from now on, and its connection with it.
type cutter struct {
	network, server string

	left atomic.Int64 // n; it is not positive where nothing is lost
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
				if err != nil || c.left.Add(-1) == 0 {
					return
				}
				if _, err := client.Write(answer[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// behindCutter is a migrated store whose connections can be cut.
func behindCutter(t *testing.T) (*postgres.Store, *cutter) {
	t.Helper()
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
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, between
}

// cutting loses the n-th answer to ask, if there are so many.
func (c *cutter) cutting(n int64, ask func()) (lost bool) {
	c.left.Store(n)
	ask()
	return c.left.Swap(0) <= 0
}

func TestWhatIsAnsweredAndCutOffIsHeardAtTheNextAsking(t *testing.T) {
	t.Parallel()
	db, between := behindCutter(t)
	claims := []store.Claim{{ID: "m", Channel: "sms", PayloadHash: "h"}, {ID: "n", Channel: "sms", PayloadHash: "h"}}
	if !between.cutting(1, func() {
		results, err := db.Claim(t.Context(), "worker", time.Minute, claims)
		if err != nil || results[0].Outcome != store.Granted || results[0].Event.Attempts != 1 {
			t.Fatalf("claim: got %+v, %v", results, err)
		}
	}) || !between.cutting(1, func() {
		err := db.ClaimTokens(t.Context(), store.TokenClaim{EventID: "m", Owner: "worker", Attempt: 1, Token: "t"}, []string{"a", "b"})
		if err != nil {
			t.Fatalf("claim devices: got %v", err)
		}
	}) {
		t.Error("no answer was lost")
	}
	if tokens, err := db.Tokens(t.Context(), "m"); err != nil || len(tokens) != 2 || tokens[0].Tries != 1 || tokens[1].Tries != 1 {
		t.Errorf("devices: got %+v, %v", tokens, err)
	}
}

// One that is exclusive takes a transaction, of whose answers the last is the end's.
func TestASettlementWhoseAnswerIsCutOffIsDone(t *testing.T) {
	t.Parallel()
	db, between := behindCutter(t)
	for _, exclusive := range []bool{false, true} {
		lost, n := true, int64(0)
		for ; lost; n++ {
			id := fmt.Sprint(exclusive, n)
			if _, err := db.Claim(t.Context(), "worker", time.Minute, []store.Claim{{ID: id, Channel: "sms", PayloadHash: "h"}}); err != nil {
				t.Fatal(err)
			}
			lost = between.cutting(n+1, func() {
				answers, err := db.Settle(t.Context(), []store.Settlement{
					{ID: id, Attempt: 1, Owner: "worker", Status: store.Sent, Provider: "twilio", ProviderID: "SM" + id, Exclusive: exclusive},
				})
				if err != nil || answers[0] != nil {
					t.Errorf("%s: got %v, %v", id, answers, err)
				}
			})
		}
		if least := map[bool]int64{false: 1, true: 5}[exclusive]; n <= least {
			t.Errorf("exclusive: %t: %d answers were lost, one each; want at least %d", exclusive, n-1, least)
		}
	}
}
