package postgres_test

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

// behindCutter is a migrated store whose connections can be cut.
func behindCutter(t *testing.T) (*postgres.Store, *pgtest.Cutter) {
	t.Helper()
	dsn, schema := pgtest.DSN(t)
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, server := pgconn.NetworkAddress(settings.Host, settings.Port)
	between := pgtest.NewCutter(t, network, server)
	query := address.Query()
	query.Del("host")
	query.Del("port")
	address.RawQuery, address.Host = query.Encode(), net.JoinHostPort(between.Host, strconv.Itoa(between.Port))
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
func cutting(c *pgtest.Cutter, n int64, ask func()) (lost bool) {
	var answers atomic.Int64
	c.Lose(func([]byte) bool { return answers.Add(1) == n })
	ask()
	c.Lose(nil)
	return answers.Load() >= n
}

func TestWhatIsAnsweredAndCutOffIsHeardAtTheNextAsking(t *testing.T) {
	t.Parallel()
	db, between := behindCutter(t)
	claims := []store.Claim{{ID: "m", Channel: "sms", PayloadHash: "h"}, {ID: "n", Channel: "sms", PayloadHash: "h"}}
	if !cutting(between, 1, func() {
		results, err := db.Claim(t.Context(), "worker", time.Minute, claims)
		if err != nil || results[0].Outcome != store.Granted || results[0].Event.Attempts != 1 {
			t.Fatalf("claim: got %+v, %v", results, err)
		}
	}) || !cutting(between, 1, func() {
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
			lost = cutting(between, n+1, func() {
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
