package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// slowest is how long a mistake may take to be told: a second or two, and a busy machine's share.
const slowest = 15.0

// TestEachMistakeIsToldAtOnce runs the tests in mistakes/, each of which has one: it ends at once, and `go test` shows a
// sentence with the reason and the line, without any flag. What is said stands in mistakes.txt; DURABLY_UPDATE_SNAPSHOTS=1
// writes it anew.
func TestEachMistakeIsToldAtOnce(t *testing.T) {
	command := exec.Command("go", "test", "-tags", "mistakes", "-count=1", "-json", "./mistakes")
	output, _ := command.Output()
	said := map[string]*strings.Builder{}
	var names []string
	for _, line := range strings.Split(string(output), "\n") {
		var event struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if json.Unmarshal([]byte(line), &event) != nil || event.Test == "" {
			continue
		}
		switch event.Action {
		case "run":
			names = append(names, event.Test)
			said[event.Test] = &strings.Builder{}
		case "output":
			said[event.Test].WriteString(event.Output)
		case "pass":
			t.Errorf("%s has not failed", event.Test)
		case "fail":
			if event.Elapsed > slowest {
				t.Errorf("%s took %v s", event.Test, event.Elapsed)
			}
		}
	}
	if len(names) < 30 {
		t.Fatalf("%d mistakes were made: %s", len(names), output)
	}
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "== %s\n%s\n\n", name, normal(t, said[name].String()))
	}
	if os.Getenv("DURABLY_UPDATE_SNAPSHOTS") != "" {
		must(t, os.WriteFile("mistakes.txt", []byte(text.String()), 0o644))
	}
	snapshot, err := os.ReadFile("mistakes.txt")
	must(t, err)
	if text.String() != string(snapshot) {
		t.Errorf("what is said has changed:\n%s", text.String())
	}
}

var differs = []struct {
	of      *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?m)^(=== |--- |time=).*\n`), ""},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`\((0x|\{|\.\.\.)[^\n]*\)`), "(...)"},
	{regexp.MustCompile(` \+0x[0-9a-f]+`), ""},
	{regexp.MustCompile(`goroutine \d+ \[[^]]*\]`), "goroutine N"},
	{regexp.MustCompile(` in goroutine \d+`), ""},
	// Where this SDK's own code is.
	{regexp.MustCompile(`[^\s"]*/sdk-go/((?:[a-z]+/)+[a-z_]+\.go):\d+`), "sdk-go/$1"},
}

var place = regexp.MustCompile(`[^\s"]*/?(mistakes_test\.go):(\d+)`)

// normal is what was said without what differs from run to run; a line is named by what stands there.
func normal(t *testing.T, said string) string {
	source, err := os.ReadFile(filepath.Join("mistakes", "mistakes_test.go"))
	must(t, err)
	lines := strings.Split(string(source), "\n")
	for _, d := range differs {
		said = d.of.ReplaceAllString(said, d.instead)
	}
	said = place.ReplaceAllStringFunc(said, func(found string) string {
		number, _ := strconv.Atoi(place.FindStringSubmatch(found)[2])
		return "`" + strings.TrimSpace(lines[number-1]) + "`"
	})
	return strings.TrimSpace(said)
}
