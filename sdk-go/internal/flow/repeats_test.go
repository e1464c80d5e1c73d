package flow

import (
	"strconv"
	"testing"
)

func TestWhatIsRepeatedIsToldNowAndThen(t *testing.T) {
	var repeats Repeats
	var told []int
	for range 250 {
		if count, loud := repeats.Count("run", "oh dear"); loud {
			told = append(told, count)
		}
	}
	if len(told) != 3 || told[0] != 1 || told[1] != 10 || told[2] != 100 {
		t.Error(told)
	}
	if count, loud := repeats.Count("run", "something else"); count != 1 || !loud {
		t.Error("what is new is told at once")
	}
	repeats.Forget("run")
	if count, _ := repeats.Count("run", "something else"); count != 1 {
		t.Error("what has ended begins anew")
	}
	for i := range 2 * mostRepeats {
		repeats.Count(strconv.Itoa(i), "x")
	}
	if len(repeats.said) > mostRepeats {
		t.Error(len(repeats.said), "are remembered")
	}
}
