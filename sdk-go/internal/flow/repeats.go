package flow

import "sync"

// mostRepeats is how many things that fail are remembered.
const mostRepeats = 10_000

// Repeats counts how often the same has been said of something that fails. What fails is retried for as long as it does, and
// would fill the log.
type Repeats struct {
	mu   sync.Mutex
	said map[string]repeated
}

type repeated struct {
	what  string
	count int
}

// Count says it once more: how often it was said in a row, this time included, and whether that is worth a line in the log.
// The first time is, and each time that it has become ten times as often.
func (r *Repeats) Count(key, what string) (count int, loud bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.said[key]
	if r.said == nil || (!known && len(r.said) >= mostRepeats) {
		// All of it is said in full again.
		r.said = map[string]repeated{}
	}
	count = 1
	if known && before.what == what {
		count = before.count + 1
	}
	r.said[key] = repeated{what, count}
	rest := count
	for rest%10 == 0 {
		rest /= 10
	}
	return count, rest == 1
}

// Forget is called when it does not fail any more.
func (r *Repeats) Forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.said, key)
}
