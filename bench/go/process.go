package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is what Linux reports CPU time in, on every architecture that we run on.
const ticksPerSecond = 100

// cpu is the CPU time that a process has used, user and kernel, in seconds; 0 without a process.
func cpu(pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name of the program may contain anything, also spaces; the fields follow its closing parenthesis.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const user, kernel = 11, 12
	ticks := 0.0
	for _, field := range []int{user, kernel} {
		value, _ := strconv.ParseFloat(fields[field], 64)
		ticks += value
	}
	return ticks / ticksPerSecond
}

// rss is a process's resident memory in MB; 0 without a process.
func rss(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kilobytes / 1024
		}
	}
	return 0
}

// quiet is a logger that keeps to itself: printing would count as the worker's CPU time.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
