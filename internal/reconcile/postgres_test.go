package reconcile

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

// proxy stands before PostgreSQL's socket, so that the server can be gone for
// one client, with its connections broken, and come back.
type proxy struct {
	dsn, target, path string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	parsed, err := url.Parse(dsn)
	if err != nil || parsed.Query().Get("host") == "" {
		t.Skip("TEST_DATABASE_URL is no server of this machine's own socket: its loss is not played")
	}
	folder, err := os.MkdirTemp("", "px")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	const socket = ".s.PGSQL.5432"
	p := &proxy{target: filepath.Join(parsed.Query().Get("host"), socket), path: filepath.Join(folder, socket)}
	query := parsed.Query()
	query.Set("host", folder)
	parsed.RawQuery = query.Encode()
	p.dsn = parsed.String()
	p.up(t)
	t.Cleanup(p.down)
	return p
}

func (p *proxy) up(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", p.target)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
}

// down breaks every connection and refuses new ones.
func (p *proxy) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func connect(t *testing.T, dsn, schema string, clock func() time.Time) store.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), dsn, postgres.Options{Schema: schema, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Two controllers over a real PostgreSQL whose clock is hours away from
// theirs, and which is turned by hand.
func TestOverPostgresOneLeadsAndAnotherTakesOverByTheDatabasesClockAlone(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	var mu sync.Mutex
	now := time.Now().Add(5 * time.Hour)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(by time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(by) }
	first, second := connect(t, dsn, schema, clock), connect(t, dsn, schema, clock)
	if _, err := first.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := NewLeader(first, "a", logger), NewLeader(second, "b", logger)
	roles := func(want string) {
		t.Helper()
		if got := string(a.Standing().Role) + " " + string(b.Standing().Role); got != want {
			t.Fatalf("a and b are %s, want %s", got, want)
		}
	}
	a.renew(t.Context())
	b.renew(t.Context())
	roles("leading standby")
	advance(leaseLength - time.Second)
	b.renew(t.Context())
	roles("leading standby")
	advance(time.Second)
	b.renew(t.Context())
	if b.Standing().Role != Leading || b.Standing().Epoch != 2 {
		t.Fatalf("b is %+v after the lease lapsed", b.Standing())
	}
	a.renew(t.Context())
	roles("standby leading")
	b.release(t.Context())
	a.renew(t.Context())
	roles("leading standby")
}

func TestALoopOutlivesALossOfPostgresAndRecordsAgain(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	server := newProxy(t, dsn)
	db := connect(t, server.dsn, schema, nil)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{desired: 3, waiting: 0}
	leader := NewLeader(db, "a", logger)
	leader.renew(t.Context())
	loop := New(Options{Services: w, Metrics: w, Memory: db, Leader: leader, Logger: logger})
	loop.Apply([]*config.ScalingPolicy{policy(t)})
	r := loop.runners["test"]
	r.tick(t.Context())
	if got := condition(t, loop, MemoryWritable); got.Status != True {
		t.Fatalf("HistoryWritable %+v", got)
	}
	server.down()
	leader.renew(t.Context())
	leader.mu.Lock()
	leader.deadline = time.Now() // as if the lease's time were over
	leader.mu.Unlock()
	w.set(3, 100_000)
	r.tick(t.Context())
	if got := w.count(); got <= 3 {
		t.Errorf("left at %d without the database: %s", got, loop.Views()[0].Decision.Reason)
	}
	if got := condition(t, loop, MemoryWritable); got.Status != False {
		t.Errorf("HistoryWritable %+v", got)
	}
	server.up(t)
	leader.renew(t.Context())
	r.tick(t.Context())
	if got := condition(t, loop, MemoryWritable); got.Status != True {
		t.Errorf("HistoryWritable %+v when the database was back", got)
	}
	if s := leader.Standing(); s.Role != Leading || s.Epoch != 1 {
		t.Errorf("stands as %+v", s)
	}
	notices, err := db.Notices(context.WithoutCancel(t.Context()), 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		if n.Reason == "SuccessfulRescale" {
			return
		}
	}
	t.Errorf("what was written while the database was away is not told: %+v", notices)
}
