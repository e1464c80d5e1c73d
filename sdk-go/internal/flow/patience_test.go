package flow

import (
	"testing"
	"time"
)

func TestWhatAGoroutineIsDoing(t *testing.T) {
	for state, waiting := range map[string]bool{
		"running": false, "runnable": false, "running, locked to thread": false, "GC assist wait": false,
		"chan receive": true, "sync.Mutex.Lock": true, "sleep, 2 minutes": true, "IO wait": true, "syscall": true,
	} {
		if got := isWaiting("goroutine 12 [" + state + "]:\nmain.main()"); got != waiting {
			t.Errorf("%s: %v", state, got)
		}
	}
	if isWaiting("") {
		t.Error("one that has gone doesn't wait")
	}
}

const limit = 10 * time.Millisecond

// stuckStep is a run with a step that is under way until it is told to hand over.
func stuckStep() (*Run, func()) {
	r := NewRun(&Environment{DeadlockTimeout: limit})
	return r, func() { go func() { r.yielded <- struct{}{} }() }
}

func TestTimeThatOthersHaveIsNotHeldAgainstAStep(t *testing.T) {
	r, yield := stuckStep()
	looks := 0
	machineIsBusy := gauge{func() bool { return false }, func() time.Duration {
		if looks++; looks == 20 {
			yield()
		}
		return 0
	}}
	if !r.awaitTurn(machineIsBusy) {
		t.Error("given up, though it had no time")
	}
}

func TestAStepThatComputesOrWaitsIsGivenUp(t *testing.T) {
	var used time.Duration
	computes := gauge{func() bool { return false }, func() time.Duration { used += limit / 8; return used }}
	waits := gauge{func() bool { return true }, func() time.Duration { return 0 }}
	for name, of := range map[string]gauge{"computes": computes, "waits": waits} {
		r, _ := stuckStep()
		if r.awaitTurn(of) {
			t.Error(name)
		}
	}
	if used < limit/2 || used > 2*limit {
		t.Errorf("given up after %v", used)
	}
}
