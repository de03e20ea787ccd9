// Package sqlite keeps the store's contract in one SQLite file, which many
// processes on one machine use at once. It needs no C compiler.
//
// Every write is one BEGIN IMMEDIATE transaction: it waits for the writer
// before it, so what it reads first is what it then changes. Readers never
// wait (WAL). Start with Open, then claim.go.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/novaura/acs-operator/internal/store"
)

// Options are what Open can be told; the zero value is right in production.
type Options struct {
	// Now is the clock of leases and rows; nil: time.Now. Processes that
	// share a file share the machine's clock.
	Now func() time.Time
}

// Store is the contract in one file. Its methods may be called from many
// goroutines, and other processes may have the same file open.
type Store struct {
	path   string
	now    func() time.Time
	writer *sql.DB // one connection: this process's writers queue here, in order
	reader *sql.DB
}

var _ store.Store = (*Store)(nil)

const (
	// pragmas hold for every connection. NORMAL with WAL survives a killed
	// process; a power cut may undo the last commits but not tear the file.
	pragmas = "_pragma=busy_timeout(2000)&_pragma=journal_mode(WAL)" +
		"&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(ON)"
	readers = 4
	// busyFor bounds the wait for other processes where ctx has no deadline.
	busyFor = 30 * time.Second
)

// Open opens the file at path and makes it when there is none; the folder must
// exist. It does not migrate.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	if path == "" {
		return nil, errors.New("open sqlite: the path is empty")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open sqlite %s: %w", path, err)
	}
	s := &Store{path: path, now: opts.Now}
	if s.now == nil {
		s.now = time.Now
	}
	name := (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}).String() + "?" + pragmas
	if s.writer, err = sql.Open("sqlite", name+"&_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("open sqlite %s: %w", path, err)
	}
	s.writer.SetMaxOpenConns(1)
	if s.reader, err = sql.Open("sqlite", name); err != nil {
		return nil, errors.Join(fmt.Errorf("open sqlite %s: %w", path, err), s.writer.Close())
	}
	s.reader.SetMaxOpenConns(readers)
	if err := s.patiently(ctx, func() error { return s.writer.PingContext(ctx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("open sqlite %s: %w", path, err), s.Close())
	}
	return s, nil
}

// Close closes the file. Calls that still run end with an error.
func (s *Store) Close() error { return errors.Join(s.reader.Close(), s.writer.Close()) }

// write runs do in one transaction that has the file to itself. do may run
// more than once and must set what it returns from scratch.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	return s.patiently(ctx, func() error {
		tx, err := s.writer.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
}

// patiently repeats do while another process holds the file, until ctx ends or
// busyFor has passed. SQLite's own busy_timeout cannot be cancelled, so it is
// short and this loop is long.
func (s *Store) patiently(ctx context.Context, do func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 5*time.Millisecond, 250*time.Millisecond
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := do()
		if err != nil && !busy(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(busyFor))
	return err
}

// busy reports whether err says that another connection held a lock.
func busy(err error) bool {
	code := primary(err)
	return code == lib.SQLITE_BUSY || code == lib.SQLITE_LOCKED
}

// primary is SQLite's primary result code; 0: err is none of SQLite's.
func primary(err error) int {
	const low = 0xff // byte of the extended code
	if e := (*driver.Error)(nil); errors.As(err, &e) {
		return e.Code() & low
	}
	return 0
}

// layout is RFC 3339 with milliseconds; every time is 24 characters long.
const layout = "2006-01-02T15:04:05.000Z"

func text(t time.Time) string { return t.UTC().Format(layout) }

// optional is text, and NULL for the zero time.
func optional(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return text(t)
}

// moment scans a time; NULL is the zero time.
type moment struct{ to *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(value any) error {
	*m.to = time.Time{}
	if value == nil {
		return nil
	}
	written, ok := value.(string)
	if !ok {
		return fmt.Errorf("read a time: got %T", value)
	}
	t, err := time.Parse(layout, written)
	if err != nil {
		return fmt.Errorf("read a time: %w", err)
	}
	*m.to = t
	return nil
}

// list reads every row of a query.
func list[T any](
	ctx context.Context, s *Store, scan func(scanner) (T, error), query string, args ...any,
) ([]T, error) {
	var found []T
	err := s.patiently(ctx, func() (err error) {
		found = nil
		rows, err := s.reader.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			one, err := scan(rows)
			if err != nil {
				return err
			}
			found = append(found, one)
		}
		return rows.Err()
	})
	return found, err
}

// scanner is a row of either kind.
type scanner interface{ Scan(dest ...any) error }
