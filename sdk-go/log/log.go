// Package log is the logger that clients and workers take.
package log

import "log/slog"

// Logger is what the SDK logs to: a message, and keys and values in turn. *slog.Logger is one.
type Logger interface {
	Debug(msg string, keyvals ...any)
	Info(msg string, keyvals ...any)
	Warn(msg string, keyvals ...any)
	Error(msg string, keyvals ...any)
}

// WithLogger is a Logger that can make a logger with keys and values of its own.
type WithLogger interface {
	With(keyvals ...any) Logger
}

// With is logger with keys and values that precede those of each message.
func With(logger Logger, keyvals ...any) Logger {
	if with, ok := logger.(WithLogger); ok {
		return with.With(keyvals...)
	}
	return &prefixed{logger, keyvals}
}

type prefixed struct {
	logger  Logger
	keyvals []any
}

func (p *prefixed) all(keyvals []any) []any {
	return append(append(make([]any, 0, len(p.keyvals)+len(keyvals)), p.keyvals...), keyvals...)
}

func (p *prefixed) Debug(msg string, keyvals ...any) { p.logger.Debug(msg, p.all(keyvals)...) }
func (p *prefixed) Info(msg string, keyvals ...any)  { p.logger.Info(msg, p.all(keyvals)...) }
func (p *prefixed) Warn(msg string, keyvals ...any)  { p.logger.Warn(msg, p.all(keyvals)...) }
func (p *prefixed) Error(msg string, keyvals ...any) { p.logger.Error(msg, p.all(keyvals)...) }
func (p *prefixed) With(keyvals ...any) Logger       { return &prefixed{p.logger, p.all(keyvals)} }

// NewStructuredLogger makes a Logger of one of log/slog.
func NewStructuredLogger(logger *slog.Logger) Logger { return structured{logger} }

type structured struct{ *slog.Logger }

func (s structured) With(keyvals ...any) Logger { return structured{s.Logger.With(keyvals...)} }
