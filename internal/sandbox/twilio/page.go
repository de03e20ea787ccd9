package twilio

import (
	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

// Names implements outbox.Source.
func (s *Server) Names() (provider, channel string) { return "twilio", "sms" }

// Control implements outbox.Source.
func (s *Server) Control() *behavior.Control { return s.control }

// Totals implements outbox.Source.
func (s *Server) Totals() outbox.Totals {
	stats := s.Stats()
	return outbox.Totals{Accepted: stats.Accepted, Doubled: stats.Doubled, Refused: stats.Refused}
}

// Recent implements outbox.Source.
func (s *Server) Recent(limit int) []outbox.Message {
	messages, _ := s.memory.list(query{limit: limit})
	now := s.memory.now()
	shown := make([]outbox.Message, 0, len(messages))
	for _, m := range messages {
		shown = append(shown, outbox.Message{
			ID: m.sid, Key: m.key, Provider: "twilio", Channel: "sms", To: m.to, From: m.from, Body: m.body, Status: m.status(now),
			Segments: m.segments, Created: m.created.UTC(), Doubled: m.doubled,
		})
	}
	return shown
}
