// Package pgtest gives tests a PostgreSQL: the one that TEST_DATABASE_URL
// names, or one that it starts from this machine's binaries, as an
// unprivileged user, in a temporary folder, for as long as the test binary
// lives.
//
// Start with DSN.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// advice ends every error of a machine without PostgreSQL.
const advice = "set TEST_DATABASE_URL=postgres://…, or install PostgreSQL (apt-get install postgresql, brew install postgresql)"

// DSN returns the URL of a server and the name of a schema that is t's alone.
// The schema is not made yet (Migrate does that) and goes when t ends.
func DSN(t testing.TB) (dsn, schema string) {
	t.Helper()
	found, err := server()
	if err != nil {
		t.Fatalf("find a PostgreSQL for the test: %v", err)
	}
	dsn = found.dsn
	schema = "t_" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		if err := drop(dsn, schema); err != nil {
			t.Errorf("drop the test's schema: %v", err)
		}
	})
	return dsn, schema
}

func drop(dsn, schema string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
	return errors.Join(err, conn.Close(ctx))
}

// Start runs a PostgreSQL of the caller's own, from this machine's binaries, for
// programs that are no tests. It ends with stop, or with the process.
func Start() (dsn string, stop func() error, err error) {
	bin, err := binaries()
	if err != nil {
		return "", nil, err
	}
	own, err := start(bin)
	if err != nil {
		return "", nil, err
	}
	return own.dsn, own.lifeline.Close, nil
}

// Guarded runs a PostgreSQL of t's own that also listens on 127.0.0.1 at a port
// and asks there for passwords (SCRAM-SHA-256). admin is the superuser's URL, by
// the socket. The database acs is owner's, who logs in with password.
func Guarded(t testing.TB, owner, password string) (admin string, port int) {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatalf("find a PostgreSQL for the test: %v", err)
	}
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, listened, err := net.SplitHostPort(free.Addr().String())
	_ = free.Close()
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(listened); err != nil {
		t.Fatal(err)
	}
	own, err := start(bin, "listen_addresses=127.0.0.1", "port="+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.lifeline.Close() })
	conn, err := pgx.Connect(t.Context(), own.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, statement := range []string{"CREATE ROLE " + owner + " LOGIN PASSWORD '" + password + "'", "CREATE DATABASE acs OWNER " + owner} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return own.dsn, port
}

// cluster is a server to connect to.
type cluster struct {
	dsn string
	// lifeline is the keeper's standard input: open as long as this is
	// reachable and the process lives. nil: someone else's server.
	lifeline io.Closer
}

// server is the one server of this test binary.
var server = sync.OnceValues(func() (*cluster, error) {
	if dsn := os.Getenv("TEST_DATABASE_URL"); dsn != "" {
		return &cluster{dsn: dsn}, nil
	}
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	return start(bin)
})

// binaries is the folder of initdb and postgres: from PATH, or the newest where
// Debian puts them, after an installation if root may make one.
func binaries() (string, error) {
	if bin, ok := look(); ok {
		return bin, nil
	}
	if os.Geteuid() != 0 {
		return "", errors.New("no initdb here: " + advice)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", "postgresql")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("no initdb here, and installing it: %w: %s: %s", err, output, advice)
	}
	if bin, ok := look(); ok {
		return bin, nil
	}
	return "", errors.New("no initdb here, after an installation too: " + advice)
}

func look() (string, bool) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil { // Debian links initdb alone
			return filepath.Dir(target), true
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", false
	}
	slices.SortFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(found[len(found)-1]), true
}

// major is 15 in /usr/lib/postgresql/15/bin/initdb.
func major(path string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return n
}

// keeper runs the server until its standard input ends, which is when the test
// binary does, however it does; then it stops the server and clears up.
const keeper = `"$0" "$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server; cd / && rm -rf "$PGDATA"`

// start makes a database cluster that forgets all, listening on a socket of
// its own folder, and waits until it answers.
func start(bin string, settings ...string) (*cluster, error) {
	dir, err := os.MkdirTemp("", "pg") // short: a socket's path has 107 characters
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	initialise := exec.CommandContext(ctx, filepath.Join(bin, "initdb"),
		"-U", "test", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--no-sync")
	confine(initialise, dir, owner)
	if output, err := initialise.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s: %s", err, output, advice), os.RemoveAll(dir))
	}
	args := []string{"-c", keeper, filepath.Join(bin, "postgres"), "-k", dir}
	for _, setting := range append([]string{
		"listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200",
		"shared_buffers=16MB", "logging_collector=on", "log_directory=" + dir,
	}, settings...) {
		args = append(args, "-c", setting)
	}
	run := exec.CommandContext(context.Background(), "/bin/sh", args...)
	confine(run, dir, owner)
	lifeline, err := run.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := run.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), os.RemoveAll(dir))
	}
	where := url.Values{"host": {dir}}
	for _, setting := range settings {
		if port, found := strings.CutPrefix(setting, "port="); found {
			where.Set("port", port)
		}
	}
	c := &cluster{dsn: "postgres://test@/postgres?" + where.Encode(), lifeline: lifeline}
	if err := answers(ctx, c.dsn); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres in %s: %w", dir, err), c.lifeline.Close())
	}
	return c, nil
}

// confine makes a command work in dir as owner.
func confine(c *exec.Cmd, dir string, owner *syscall.SysProcAttr) {
	c.Dir, c.SysProcAttr = dir, owner
	c.Env = append(os.Environ(), "PGDATA="+dir, "LC_ALL=C")
}

// unprivileged gives dir to whom the server runs as: PostgreSQL refuses root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find a user for PostgreSQL, which refuses root: %w", err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// answers waits until the server takes a connection, or ctx ends.
func answers(ctx context.Context, dsn string) error {
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
