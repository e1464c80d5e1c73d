package tests

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
)

// said keeps what a worker logs of its server.
type said struct {
	quiet
	lines chan string
}

func (s said) Warn(msg string, keyvals ...any) {
	if strings.Contains(msg, "server") {
		s.lines <- fmt.Sprint(append([]any{msg, " "}, keyvals...)...)
	}
}

func TestAWorkerTellsOnceThatItsServerIsAwayAndOnceThatItIsBack(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := probe.Addr().String()
	must(t, probe.Close())
	path := filepath.Join(t.TempDir(), "state.db")
	serve := func() client.Client {
		server, err := client.Dial(client.Options{
			HostPort: "embedded:" + path, Logger: quiet{},
			ConnectionOptions: client.ConnectionOptions{Embedded: client.EmbeddedOptions{Listen: address}}})
		must(t, err)
		return server
	}
	server := serve()
	t.Cleanup(func() { server.Close() })
	lines := make(chan string, 10)
	c, err := client.Dial(client.Options{HostPort: address, Logger: said{lines: lines}})
	must(t, err)
	t.Cleanup(c.Close)
	start(t, c, worker.Options{}, func(w worker.Worker) { w.RegisterWorkflow(takesANumber) })

	await := func() string {
		select {
		case line := <-lines:
			return line
		case <-within(t).Done():
			t.Fatal("the worker says nothing")
			return ""
		}
	}
	if got := result[int](t, execute(t, c, takesANumber, 4)); got != 4 {
		t.Error(got)
	}
	server.Close()
	if line := await(); !strings.Contains(line, "can't reach its server") {
		t.Error(line)
	}
	server = serve()
	if line := await(); !strings.Contains(line, "reaches its server again") {
		t.Error(line)
	}
	if got := result[int](t, execute(t, c, takesANumber, 5)); got != 5 {
		t.Error(got)
	}
	if len(lines) > 0 {
		t.Error(<-lines)
	}
}
