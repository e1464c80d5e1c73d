package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test's binary the program itself, when the test runs it as one.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_ORDERS") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func run(orders, state string, more ...string) (string, error) {
	arguments := append([]string{orders, "--state", state, "--cooling-off", "100ms", "--approval-timeout", "2s"}, more...)
	program := exec.Command(os.Args[0], arguments...)
	program.Env = append(os.Environ(), "RUN_ORDERS=1")
	output, err := program.CombinedOutput()
	return string(output), err
}

func TestKilledMidwayTheOrdersGoOnAndEachIsChargedOnce(t *testing.T) {
	text, err := os.ReadFile("../python/orders.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	orders, state := filepath.Join(folder, "orders.jsonl"), filepath.Join(folder, "orders.db")
	first := bytes.Join(bytes.SplitAfterN(text, []byte("\n"), 31)[:30], nil)
	if err := os.WriteFile(orders, first, 0o644); err != nil {
		t.Fatal(err)
	}

	output, err := run(orders, state, "--crash-midway")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was to die by SIGKILL: %v\n%s", err, output)
	}
	output, err = run(orders, state)
	if err != nil || !strings.Contains(output, "All 30 orders are closed") || !strings.Contains(output, "charged exactly once") ||
		!strings.Contains(output, "orders are open from an earlier run") || !strings.Contains(output, "goes on in another process") {
		t.Fatalf("%v\n%s", err, output)
	}
}
