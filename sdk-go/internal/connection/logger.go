package connection

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"durably.dev/sdk/log"
)

// defaultSlog writes lines of text, from informational ones upwards.
func defaultSlog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// guarded keeps the panics of a logger of the user's to itself: what is logged must not decide what is answered.
type guarded struct{ to log.Logger }

// Guarded is a logger that doesn't panic.
func Guarded(logger log.Logger) log.Logger { return guarded{logger} }

func (g guarded) log(write func(string, ...any), msg string, keyvals []any) {
	defer func() {
		if value := recover(); value != nil {
			fmt.Fprintf(os.Stderr, "The logger panicked (%v) when it was to write: %s\n", value, msg)
		}
	}()
	write(msg, keyvals...)
}

func (g guarded) Debug(msg string, keyvals ...any) { g.log(g.to.Debug, msg, keyvals) }
func (g guarded) Info(msg string, keyvals ...any)  { g.log(g.to.Info, msg, keyvals) }
func (g guarded) Warn(msg string, keyvals ...any)  { g.log(g.to.Warn, msg, keyvals) }
func (g guarded) Error(msg string, keyvals ...any) { g.log(g.to.Error, msg, keyvals) }

func (g guarded) With(keyvals ...any) (with log.Logger) {
	defer func() {
		if value := recover(); value != nil {
			fmt.Fprintf(os.Stderr, "The logger panicked (%v) when it was to have keys and values of its own.\n", value)
			with = g
		}
	}()
	return guarded{log.With(g.to, keyvals...)}
}
