package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/check/harness"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

// postgres is a PostgreSQL of one incident's own, behind a proxy that makes it
// slow or unreachable for the programs.
type postgres struct {
	direct string // for the harness
	proxy  *harness.Proxy
	stop   func() error
}

func startPostgres(ctx context.Context) (*postgres, error) {
	direct, stop, err := pgtest.Start()
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(direct)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	proxy, err := harness.NewProxy(ctx, "unix", filepath.Join(parsed.Query().Get("host"), ".s.PGSQL.5432"))
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &postgres{direct, proxy, stop}, nil
}

// url is what the programs use.
func (p *postgres) url() string {
	return "postgres://test@" + p.proxy.Address() + "/postgres?sslmode=disable"
}

func (p *postgres) close() error {
	p.proxy.Close()
	return p.stop()
}

// readOnly refuses every write of connections made from now on, and ends those
// that were made before.
func (p *postgres) readOnly(ctx context.Context, on bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	connection, err := pgx.Connect(ctx, p.direct)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(context.WithoutCancel(ctx)) }()
	for _, statement := range []string{
		"SET default_transaction_read_only = off",
		fmt.Sprintf("ALTER DATABASE postgres SET default_transaction_read_only = %t", on),
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid()",
	} {
		if _, err := connection.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make the database read-only %t: %w", on, err)
		}
	}
	return nil
}
