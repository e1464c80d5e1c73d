// The program of the README of the Go SDK.

// snippet: main
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

func Greet(ctx context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}

func Greeting(ctx workflow.Context, name string) (string, error) {
	// A durable timer: it survives a crash of this process.
	if err := workflow.Sleep(ctx, time.Second); err != nil {
		return "", err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var greeting string
	err := workflow.ExecuteActivity(ctx, Greet, name).Get(ctx, &greeting)
	return greeting, err
}

func main() {
	c, err := client.Dial(client.Options{HostPort: "embedded:greetings.db"}) // or "localhost:7233"
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	w := worker.New(c, "greetings", worker.Options{})
	w.RegisterWorkflow(Greeting)
	w.RegisterActivity(Greet)
	if err := w.Start(); err != nil {
		log.Fatal(err)
	}
	defer w.Stop()

	options := client.StartWorkflowOptions{ID: "greet-ann", TaskQueue: "greetings"}
	run, err := c.ExecuteWorkflow(context.Background(), options, Greeting, "Ann")
	if err != nil {
		log.Fatal(err)
	}
	var greeting string
	if err := run.Get(context.Background(), &greeting); err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeting)
}

// end snippet
