package main

import (
	"context"
	"time"
)

// refuseDatabase makes PostgreSQL look as if it were down.
func refuseDatabase(refuse bool) act {
	return func(ctx context.Context, s *Stage) error {
		if refuse {
			return s.postgres.proxy.Refuse()
		}
		return s.postgres.proxy.Accept(ctx)
	}
}

// slowDatabase makes every statement wait.
func slowDatabase(delay time.Duration) act {
	return func(_ context.Context, s *Stage) error {
		s.postgres.proxy.Delay(delay)
		return nil
	}
}

// readOnlyDatabase refuses every write, as a full disk or a failover does.
func readOnlyDatabase(on bool) act {
	return func(ctx context.Context, s *Stage) error { return s.postgres.readOnly(ctx, on) }
}

func databaseIncidents() []Incident {
	inPostgres := Setup{Postgres: true}
	return []Incident{
		{
			ID: "database-down", Name: "The database is down for 2 min", Setup: inPostgres,
			Cause: refuseDatabase(true), End: refuseDatabase(false), During: 2 * time.Minute,
			Expect: Expect{Count: Held(), Alerts: []string{"DatabaseFailing"}, Words: []string{"since"}, Resolves: true},
		},
		{
			ID: "database-slow", Name: "Every database statement takes 2 s", Setup: inPostgres,
			Cause: slowDatabase(2 * time.Second), End: slowDatabase(0),
			Expect: Expect{Count: AtMost(usualMost), Alerts: []string{"DatabaseFailing"}, Words: []string{"since"}, Resolves: true},
		},
		{
			ID: "database-read-only", Name: "The database rejects every write (disk full, played as read-only)", Setup: inPostgres,
			Cause: readOnlyDatabase(true), End: readOnlyDatabase(false),
			Expect: Expect{Count: Held(), Alerts: []string{"DatabaseFailing"}, Words: []string{"since", "read-only"}, Resolves: true},
		},
		{
			ID: "database-locked", Name: "The SQLite database is locked for 60 s",
			Cause: standIn("database", `{"frozen":true}`), End: standIn("database", `{"frozen":false}`), During: time.Minute,
			Expect: Expect{Count: Held(), Alerts: []string{"DatabaseFailing"}, Words: []string{"since"}, Resolves: true},
		},
	}
}
