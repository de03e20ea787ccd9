package open

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/secret"
	"github.com/novaura/acs-operator/internal/store"
)

// ErrSetting says that the settings name no database that could be opened.
var ErrSetting = errors.New("open the database")

var errNotNamed = errors.New("DATABASE_URL is not set: name the database, for example sqlite:acs.db, or set DB_HOST, DB_NAME, DB_USER and DB_PASSWORD")

// Flags say where history and state are kept: one URL, or the parts that the
// predecessor's task definition sets. The mains embed it in their grammars.
type Flags struct {
	DatabaseURL redact.Secret `env:"DATABASE_URL" name:"database-url" placeholder:"URL" help:"sqlite:PATH or postgres://…; or the parts below."`
	DBHost      string        `env:"DB_HOST" name:"db-host" help:"PostgreSQL's host."`
	DBPort      string        `env:"DB_PORT" name:"db-port" default:"5432" help:"PostgreSQL's port."`
	DBName      string        `env:"DB_NAME" name:"db-name" help:"The database's name."`
	DBUser      string        `env:"DB_USER" name:"db-user" help:"The user."`
	DBPassword  redact.Secret `env:"DB_PASSWORD" name:"db-password" help:"The password."`
	DBPassARN   string        `env:"DB_PASSWORD_ARN" name:"db-password-arn" placeholder:"ARN" help:"Or the secret of Secrets Manager that holds it, plain or as JSON's password; read again when it is refused."`
	DBSSLMode   string        `env:"DB_SSLMODE" name:"db-sslmode" default:"require" help:"As libpq's sslmode."`
	DBSchema    string        `env:"DB_SCHEMA" name:"db-schema" help:"The schema of our tables."`
}

// Open opens the store that the flags name, without migrating it. What the
// flags get wrong is an ErrSetting.
func (f Flags) Open(ctx context.Context) (store.Store, error) {
	dsn, err := f.dsn()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetting, err)
	}
	options := []Option{WithSchema(f.DBSchema)}
	if f.DBPassARN != "" {
		kept, err := secret.Open(ctx, f.DBPassARN)
		if err != nil {
			return nil, fmt.Errorf("%w: DB_PASSWORD_ARN: %w", ErrSetting, err)
		}
		options = append(options, WithPassword(password{kept}))
	}
	db, err := Open(ctx, dsn, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetting, err)
	}
	return db, nil
}

// OpenExisting is Open for those who look: an SQLite file that is not there is
// an ErrSetting, and is not made.
func (f Flags) OpenExisting(ctx context.Context) (store.Store, error) {
	dsn, err := f.dsn()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetting, err)
	}
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		path = strings.TrimPrefix(path, "//")
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: there is no database at %s: name the one that the worker uses (DATABASE_URL)", ErrSetting, path)
		}
	}
	return f.Open(ctx)
}

// Ready opens the store and brings its schema up to date. A database that does
// not answer is waited for, two minutes at the most: messages are safe on
// their queue meanwhile.
func (f Flags) Ready(ctx context.Context, logger *slog.Logger) (store.Store, error) {
	const patience, oneTry = 2 * time.Minute, 30 * time.Second
	db, err := f.Open(ctx)
	if err != nil {
		return nil, err
	}
	_, err = backoff.Retry(ctx, func() (int64, error) {
		bounded, cancel := context.WithTimeout(ctx, oneTry)
		defer cancel()
		version, err := db.Migrate(bounded)
		if errors.Is(err, store.ErrForeignTable) || errors.Is(err, store.ErrEncoding) {
			err = backoff.Permanent(err) // no wait mends it
		}
		return version, err
	}, backoff.WithMaxElapsedTime(patience), backoff.WithNotify(func(err error, wait time.Duration) {
		logger.WarnContext(ctx, "database not ready, trying again", "in", wait.Round(time.Second).String(), "error", err)
	}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the database: %w", err), db.Close())
	}
	return db, nil
}

// dsn is the database as one URL.
func (f Flags) dsn() (string, error) {
	if f.DatabaseURL != "" {
		return f.DatabaseURL.Reveal(), nil
	}
	if f.DBHost == "" {
		return "", errNotNamed
	}
	for _, setting := range [][2]string{{"DB_NAME", f.DBName}, {"DB_USER", f.DBUser}} {
		if setting[1] == "" {
			return "", fmt.Errorf("%s is not set, and DB_HOST is: set both, or DATABASE_URL", setting[0])
		}
	}
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(f.DBUser, f.DBPassword.Reveal()),
		Host: net.JoinHostPort(f.DBHost, f.DBPort), Path: "/" + f.DBName, RawQuery: url.Values{"sslmode": {f.DBSSLMode}}.Encode(),
	}
	return dsn.String(), nil
}

// password is the database's, in Secrets Manager.
type password struct{ *secret.Secret }

// Get implements postgres.Password.
func (p password) Get(ctx context.Context) (redact.Secret, error) {
	value, err := p.Secret.Get(ctx)
	if err != nil {
		return "", err
	}
	text := value.Field("password", "db_")
	if text == "" {
		return "", errors.New("DB_PASSWORD_ARN: the secret is JSON, and has no password")
	}
	return text, nil
}
