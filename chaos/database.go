package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is a PostgreSQL of its own, behind a proxy that can cut every
// connection. It keeps what it has committed over a crash of its processes.
type database struct {
	bin, dir string
	as       *syscall.SysProcAttr
	server   *exec.Cmd
	proxy    *proxy
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
	if d.proxy, err = newProxy(ctx, filepath.Join(d.dir, ".s.PGSQL.5432")); err != nil {
		return nil, errors.Join(err, os.RemoveAll(d.dir))
	}
	if err := d.start(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *database) dsn() string {
	return "postgres://chaos@" + d.proxy.address() + "/postgres?sslmode=disable"
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
		d.proxy.close()
	}
	if d.server != nil && d.server.Process != nil {
		_ = d.server.Process.Signal(syscall.SIGQUIT)
		_ = d.server.Wait()
	}
	_ = os.RemoveAll(d.dir)
}

// proxy forwards TCP connections to a socket, until they are cut.
type proxy struct {
	listener net.Listener
	socket   string

	mu    sync.Mutex
	lines map[net.Conn]bool
}

func newProxy(ctx context.Context, socket string) (*proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, socket: socket, lines: map[net.Conn]bool{}}
	go p.accept(context.WithoutCancel(ctx))
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(ctx, "unix", p.socket)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.lines[client], p.lines[server] = true, true
		p.mu.Unlock()
		go p.forward(client, server)
		go p.forward(server, client)
	}
}

// forward copies one way; when either side ends, both do.
func (p *proxy) forward(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = from.Close(), to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, from)
	delete(p.lines, to)
}

// cut ends every connection, in the middle of whatever it says.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range p.lines {
		_ = line.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut()
}
