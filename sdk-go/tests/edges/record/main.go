// Command record writes what the programs came to: `record ADDRESS FILE`. edges/official.txt was written by a copy of these two
// packages whose imports name go.temporal.io/sdk.
package main

import (
	"context"
	"log"
	"os"
	"strings"

	"durably.dev/sdk/client"
	"durably.dev/sdk/tests/edges"
	"durably.dev/sdk/worker"
)

const queue = "edges"

func main() {
	c, err := client.Dial(client.Options{HostPort: os.Args[1]})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow})
	edges.Register(w)
	if err := w.Start(); err != nil {
		log.Fatal(err)
	}
	lines, err := edges.Run(context.Background(), c, queue)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[2], []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	// Some goroutines never let go, so the worker is not waited for.
	os.Exit(0)
}
