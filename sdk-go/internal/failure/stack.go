package failure

import (
	"reflect"
	"runtime"
	"strings"
)

// What is here finds the user's part in a stack, as runtime/debug.Stack writes it: a line for the goroutine, and two for each
// frame, the function and where it is.

// goFolder is where the sources of Go's own packages are; empty if the program was built without such paths.
var goFolder = func() string {
	const known = "strings/strings.go"
	file, _ := runtime.FuncForPC(reflect.ValueOf(strings.Cut).Pointer()).FileLine(0)
	return strings.TrimSuffix(file, known)
}()

// IsOurs tells the SDK's own functions from the user's.
func IsOurs(function string) bool {
	for _, ours := range []string{"durably.dev/sdk/internal/", "durably.dev/sdk/workflow.", "durably.dev/sdk/worker."} {
		if strings.HasPrefix(function, ours) {
			return true
		}
	}
	return false
}

func isGos(function, file string) bool {
	if strings.HasPrefix(function, "runtime.") || strings.HasPrefix(function, "panic(") {
		return true
	}
	if goFolder != "" {
		return strings.HasPrefix(file, goFolder)
	}
	// Without paths: the packages of modules have a host in their names, most often; Go's have no dot in theirs.
	name := function
	if slash := strings.LastIndex(function, "/"); slash >= 0 {
		name = function[:slash]
	} else {
		name, _, _ = strings.Cut(function, ".")
	}
	return name != "main" && !strings.Contains(name, ".")
}

// users calls visit with the two lines of each frame that is the user's, innermost first, until that returns false.
func users(stack string, visit func(function, place string) bool) {
	lines := strings.Split(strings.TrimRight(stack, "\n"), "\n")
	for i := 1; i+1 < len(lines); i += 2 {
		function := strings.TrimPrefix(lines[i], "created by ")
		file, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), ":")
		if !IsOurs(function) && !isGos(function, file) && !visit(lines[i], lines[i+1]) {
			return
		}
	}
}

// UserStack is the part of a stack that is the user's; all of it, if there is no such part.
func UserStack(stack string) string {
	var kept []string
	users(stack, func(function, place string) bool {
		kept = append(kept, function, place)
		return true
	})
	if kept == nil {
		return stack
	}
	goroutine, _, _ := strings.Cut(stack, "\n")
	return goroutine + "\n" + strings.Join(kept, "\n") + "\n"
}

// UserLine is the "file:line" of the innermost frame of a stack that is the user's; empty if there is none.
func UserLine(stack string) (line string) {
	users(stack, func(_, place string) bool {
		line, _, _ = strings.Cut(strings.TrimSpace(place), " ")
		return false
	})
	return line
}
