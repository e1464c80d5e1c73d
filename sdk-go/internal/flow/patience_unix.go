//go:build linux || darwin || freebsd

package flow

import (
	"syscall"
	"time"
)

// processTime is what this process has had of the processors.
func processTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
