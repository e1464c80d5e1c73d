package flow

// Flags of the official SDK's, by its numbers: what its code does differently from some version on.
const (
	// flagFailStart: a child that can't be asked for fails the future of its start too, not only that of its result.
	flagFailStart = 2
	// flagCommandedMessages: what a task says of updates has its places among the commands.
	flagCommandedMessages = 3
	// flagEagerUpdates: handlers of updates begin before the main function goes on, and as soon as they are registered.
	flagEagerUpdates = 4
	// flagKeepSignal: a selector that waits keeps the value that it is woken by.
	flagKeepSignal = 5
	// flagCancelAwaitTimer: AwaitWithTimeout makes no timer if there is nothing to wait for, and cancels it afterwards. Where
	// the history doesn't have it, the official SDK doesn't use it either.
	flagCancelAwaitTimer = 6
	// flagConvertMemo: a child's memo goes through the worker's converter.
	flagConvertMemo = 7
	// flagKeepLate: only if the selector has a default; otherwise its branch does.
	flagKeepLate = 8
)

// mayUse tells whether uses would say so, and records nothing.
func (r *Run) mayUse(flag uint32) bool { return r.available[flag] || !r.replaying }

// uses tells whether to do as a flag says: new tasks do, and replayed ones if they did when they were new.
func (r *Run) uses(flag uint32) bool {
	if !r.available[flag] && !r.replaying {
		r.available[flag] = true
		r.used = append(r.used, flag)
	}
	return r.available[flag]
}
