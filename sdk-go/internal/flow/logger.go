package flow

import "durably.dev/sdk/log"

// GetLogger is a logger that is silent while replaying.
func GetLogger(ctx Context) log.Logger { return outboundOf(ctx).GetLogger(ctx) }

func (o *outbound) GetLogger(ctx Context) log.Logger {
	if update, ok := ctx.Value(updateKey).(*UpdateInfo); ok {
		return log.With(o.run.logger, "UpdateID", update.ID, "UpdateName", update.Name)
	}
	return o.run.logger
}

// replayLogger keeps a replay's messages to itself.
type replayLogger struct {
	run *Run
	to  log.Logger
}

func (l *replayLogger) speaks() bool { return !l.run.replaying || l.run.env.LogInReplay }
func (l *replayLogger) Debug(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Debug(msg, keyvals...)
	}
}
func (l *replayLogger) Info(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Info(msg, keyvals...)
	}
}
func (l *replayLogger) Warn(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Warn(msg, keyvals...)
	}
}
func (l *replayLogger) Error(msg string, keyvals ...any) {
	if l.speaks() {
		l.to.Error(msg, keyvals...)
	}
}
func (l *replayLogger) With(keyvals ...any) log.Logger {
	return &replayLogger{l.run, log.With(l.to, keyvals...)}
}
