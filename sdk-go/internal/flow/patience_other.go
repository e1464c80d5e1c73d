//go:build !linux && !darwin && !freebsd

package flow

import "time"

// loaded is a moment from which time is measured.
var loaded = time.Now()

// processTime is the time that has passed: what this process has had of the processors isn't known here.
func processTime() time.Duration { return time.Since(loaded) }
