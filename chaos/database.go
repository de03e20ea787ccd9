package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// database is a PostgreSQL of its own, behind a proxy that can cut every
// connection. It keeps what it has committed over a crash of its processes.
type database struct {
	bin, dir string
	as       *syscall.SysProcAttr
	server   *exec.Cmd
	proxy    *harness.Proxy
}

func startDatabase(ctx context.Context) (d *database, err error) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("postgres"); err == nil {
		bins = append(bins, filepath.Dir(path))
	}
	if len(bins) == 0 {
		return nil, errors.New("find PostgreSQL: install it (apt-get install postgresql, brew install postgresql)")
	}
	slices.Sort(bins)
	d = &database{bin: bins[len(bins)-1]}
	if d.dir, err = os.MkdirTemp("", "chaos"); err != nil { // short: a socket's path has 107 characters
		return nil, err
	}
	if err := d.unprivileged(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(d.dir))
	}
	initialise := d.command(ctx, "initdb", "-D", filepath.Join(d.dir, "data"), "-U", "chaos", "-A", "trust", "-E", "UTF8", "--no-sync")
	if output, err := initialise.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("initdb: %w: %s", err, output), os.RemoveAll(d.dir))
	}
	if d.proxy, err = harness.NewProxy(ctx, "unix", filepath.Join(d.dir, ".s.PGSQL.5432")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(d.dir))
	}
	if err := d.start(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *database) dsn() string {
	return "postgres://chaos@" + d.proxy.Address() + "/postgres?sslmode=disable"
}

// unprivileged gives the folder to whom the server runs as: PostgreSQL refuses
// root.
func (d *database) unprivileged() error {
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("find a user for PostgreSQL, which refuses root: %w", err)
	}
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return err
	}
	d.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}} //nolint:gosec // a user's id
	return os.Chown(d.dir, uid, uid)
}

func (d *database) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(d.bin, program), args...)
	c.Dir, c.SysProcAttr, c.Env = d.dir, d.as, append(os.Environ(), "LC_ALL=C")
	return c
}

// start starts the server and waits until it answers. What it committed is
// with the system's cache before it says so, which outlives its processes.
func (d *database) start(ctx context.Context) error {
	d.server = d.command(context.WithoutCancel(ctx), "postgres", "-D", filepath.Join(d.dir, "data"), "-k", d.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "synchronous_commit=on", "-c", "max_connections=200", "-c", "shared_buffers=64MB",
		"-c", "logging_collector=on", "-c", "log_directory="+d.dir)
	if err := d.server.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		connection, err := pgx.Connect(ctx, d.dsn())
		if err == nil {
			return connection.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start PostgreSQL in %s: %w", d.dir, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// restart stops the server, orderly or as by a crash, and starts it again.
func (d *database) restart(ctx context.Context, crash bool) error {
	how := syscall.SIGINT
	if crash {
		how = syscall.SIGQUIT
	}
	if err := d.server.Process.Signal(how); err != nil {
		return err
	}
	_ = d.server.Wait() // a crash is an error that was asked for
	return d.start(ctx)
}

func (d *database) close() {
	if d.proxy != nil {
		d.proxy.Close()
	}
	if d.server != nil && d.server.Process != nil {
		_ = d.server.Process.Signal(syscall.SIGQUIT)
		_ = d.server.Wait()
	}
	_ = os.RemoveAll(d.dir)
}
