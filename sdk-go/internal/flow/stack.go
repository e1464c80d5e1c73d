package flow

import (
	"fmt"
	"runtime"
	"strings"

	"durably.dev/sdk/internal/failure"
)

// stackOf is the stack of a coroutine, as the runtime prints it.
func stackOf(c *coroutine) string { return stacksOf(c)[0] }

// stacksOf are the stacks of coroutines. There is no other way to see another goroutine's stack than to see all of them.
func stacksOf(coroutines ...*coroutine) []string {
	var all []byte
	for size := 1 << 20; size <= 1<<28; size *= 4 {
		all = make([]byte, size)
		if n := runtime.Stack(all, true); n < size {
			all = all[:n]
			break
		}
	}
	byID := map[string]string{}
	for _, stack := range strings.Split(string(all), "\n\n") {
		if words := strings.SplitN(stack, " ", 3); len(words) == 3 && words[0] == "goroutine" {
			byID[words[1]] = stack
		}
	}
	stacks := make([]string, len(coroutines))
	for i, c := range coroutines {
		id, _ := c.id.Load().(string)
		stacks[i] = byID[id]
	}
	return stacks
}

// userLine is the user's line in a stack.
func userLine(stack string) string {
	if line := failure.UserLine(stack); line != "" {
		return line
	}
	return "an unknown line"
}

// location is the user's line that called into the SDK; only asked for while replaying, where it may be needed.
func (r *Run) location() string {
	if !r.replaying {
		return ""
	}
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if !failure.IsOurs(frame.Function) && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		if !more {
			return ""
		}
	}
}
