package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
)

// alarmPhrases stand in msg of lines that production alarms filter on; they
// are written whatever LOG_LEVEL says.
var alarmPhrases = []string{"Successfully processed", "Error processing", "Processed "}

// NewLogger returns a logger that writes to w: text for a person where w is a
// terminal, else JSON; from the level in the environment variable LOG_LEVEL
// (debug, info, warn, error; default info). NO_COLOR (https://no-color.org)
// and a dumb terminal get text without colours.
func NewLogger(w io.Writer) *slog.Logger {
	var level slog.Level
	unknown := level.UnmarshalText([]byte(os.Getenv("LOG_LEVEL"))) != nil && os.Getenv("LOG_LEVEL") != ""
	logger := slog.New(alarmHandler{level: level, Handler: newHandler(w)})
	if unknown {
		logger.Warn("LOG_LEVEL is not a level, using info", "got", os.Getenv("LOG_LEVEL"), "want", "debug, info, warn or error")
	}
	return logger
}

func newHandler(w io.Writer) slog.Handler {
	if isTerminal(w) {
		return tint.NewTextHandler(w, &tint.Options{Level: slog.LevelDebug, TimeFormat: time.TimeOnly, NoColor: colourless()})
	}
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
}

func colourless() bool { return os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" }

func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// alarmHandler drops what is below its level, except the alarm phrases.
type alarmHandler struct {
	slog.Handler
	level slog.Level
}

// Enabled lets info through, since only Handle sees the phrase.
func (h alarmHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level || level >= slog.LevelInfo
}

func (h alarmHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < h.level && !isAlarmPhrase(r.Message) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h alarmHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return alarmHandler{Handler: h.Handler.WithAttrs(attrs), level: h.level}
}

func (h alarmHandler) WithGroup(name string) slog.Handler {
	return alarmHandler{Handler: h.Handler.WithGroup(name), level: h.level}
}

func isAlarmPhrase(message string) bool {
	for _, phrase := range alarmPhrases {
		if strings.HasPrefix(message, phrase) {
			return true
		}
	}
	return false
}
