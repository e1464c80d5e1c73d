package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Startup is what a server costs that nobody uses.
type Startup struct {
	FirstAnswer float64 `json:"first_answer_ms"`
	IdleRSS     float64 `json:"idle_rss_mb"`
	IdleCPU     float64 `json:"idle_cpu_percent"`
}

const idleFor = 3 * time.Second

// startup starts the command, with {port} in its arguments replaced by a free one, asks until it answers a
// call that needs its namespace, and then leaves it alone for a while.
func startup(command []string) error {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := strconv.Itoa(probe.Addr().(*net.TCPAddr).Port)
	if err := probe.Close(); err != nil {
		return err
	}
	args := make([]string, len(command))
	for i, arg := range command {
		args[i] = strings.ReplaceAll(arg, "{port}", port)
	}
	server := exec.Command(args[0], args[1:]...)
	server.Stderr = os.Stderr
	// The peer stops when its standard input closes.
	stdin, err := server.StdinPipe()
	if err != nil {
		return err
	}
	defer func() { _ = stdin.Close() }()
	began := time.Now()
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	if err := awaitAnswer("127.0.0.1:" + port); err != nil {
		return err
	}
	figures := Startup{FirstAnswer: float64(time.Since(began).Microseconds()) / 1000}
	pid := server.Process.Pid
	before := cpu(pid)
	time.Sleep(idleFor)
	figures.IdleCPU = (cpu(pid) - before) / idleFor.Seconds() * 100
	figures.IdleRSS = rss(pid)
	line, err := json.Marshal(figures)
	if err == nil {
		fmt.Println(string(line))
	}
	return err
}

// awaitAnswer makes a new connection for each try: a channel that has failed once would back off for longer
// than the server takes.
func awaitAnswer(address string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ask(address)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer within 30 s: %w", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func ask(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	_ = conn.Close()
	c, err := client.NewLazyClient(client.Options{HostPort: address, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	request := &workflowservice.DescribeNamespaceRequest{Namespace: "default"}
	_, err = c.WorkflowService().DescribeNamespace(ctx, request)
	return err
}
