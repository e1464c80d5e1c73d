// Orders that survive a crash: the main program.
//
//	order orders.jsonl --state orders.db                   # run all orders to their end
//	order orders.jsonl --state orders.db --crash-midway    # die with SIGKILL when half of them are paid
//	order orders.jsonl --state orders.db                   # … and go on from there
//
// There is no server to install: the server runs in this process and keeps its state in one file. The payment ledger is
// another file, which stands for the world outside; at the end it proves that each payment was made once.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"durably.dev/sdk/client"
	"durably.dev/sdk/log"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
)

const taskQueue = "orders"

type arguments struct {
	orders, state, ledger, timeline string
	crashMidway                     bool
	settings                        Settings
}

func parseArguments() (a arguments) {
	flags := flag.NewFlagSet("order", flag.ExitOnError)
	flags.StringVar(&a.state, "state", "", "state file of the embedded server; made if missing")
	flags.StringVar(&a.ledger, "ledger", "", "payment ledger; default: STATE with .ledger at the end")
	flags.BoolVar(&a.crashMidway, "crash-midway", false, "SIGKILL this process when half of the orders are charged")
	flags.DurationVar(&a.settings.ApprovalTimeout, "approval-timeout", 10*time.Second, "how long a large order waits for approval")
	flags.DurationVar(&a.settings.CoolingOff, "cooling-off", time.Second, "timer before shipping")
	flags.StringVar(&a.timeline, "timeline", "", "order whose history is shown; default: one with a story")
	if len(os.Args) < 2 {
		fail(errors.New("usage: order ORDERS.jsonl --state FILE"))
	}
	a.orders = os.Args[1]
	_ = flags.Parse(os.Args[2:])
	if a.state == "" {
		fail(errors.New("--state FILE is missing: where the embedded server keeps its state"))
	}
	if a.ledger == "" {
		a.ledger = a.state + ".ledger"
	}
	return a
}

// readOrders are the orders of the file; an error names the line.
func readOrders(path string) (orders []Order, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	number := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var order Order
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&order); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, number, err)
		}
		if known[order.ID] {
			return nil, fmt.Errorf("%s, line %d: order id %q is there already; ids must be unique", path, number, order.ID)
		}
		known[order.ID] = true
		orders = append(orders, order)
	}
	if len(orders) == 0 {
		return nil, fmt.Errorf("%s has no orders", path)
	}
	return orders, nil
}

// program is what the parts of this program share.
type program struct {
	client   client.Client
	ledger   *Ledger
	settings Settings
	total    int

	mu       sync.Mutex
	taken    int
	outcomes []Outcome
}

// start starts an order's workflow, or finds the one of an earlier run of this program. The workflow's id is the
// order's, so that an order can't be taken twice, however often this is called.
func (p *program) start(ctx context.Context, order Order) (client.WorkflowRun, error) {
	id := "order-" + order.ID
	run, err := p.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, OrderWorkflow, order, p.settings)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return p.client.GetWorkflow(ctx, id, ""), nil
	}
	return run, err
}

// playManager decides about a large order as soon as it asks: mallory gets nothing, for nobody's orders nobody has time.
func (p *program) playManager(ctx context.Context, run client.WorkflowRun, order Order) error {
	for order.Customer != "nobody" {
		answer, err := p.client.QueryWorkflow(ctx, run.GetID(), "", "status")
		if err != nil {
			return err
		}
		var status string
		if err := answer.Get(&status); err != nil {
			return err
		}
		switch status {
		case "waiting for approval":
			err := p.client.SignalWorkflow(ctx, run.GetID(), "", "decide", order.Customer != "mallory")
			var closed *serviceerror.NotFound
			if errors.As(err, &closed) {
				// The time for the approval has run out meanwhile.
				return nil
			}
			return err
		case "received", "validating":
			time.Sleep(200 * time.Millisecond)
		default:
			return nil
		}
	}
	return nil
}

// runOrder is one order from start to end, seen from outside.
func (p *program) runOrder(ctx context.Context, order Order) error {
	run, err := p.start(ctx, order)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.taken++
	p.mu.Unlock()
	if order.Cents() >= ApprovalLimit {
		if err := p.playManager(ctx, run, order); err != nil {
			return err
		}
	}
	var outcome Outcome
	if err := run.Get(ctx, &outcome); err != nil {
		return err
	}
	p.mu.Lock()
	p.outcomes = append(p.outcomes, outcome)
	p.mu.Unlock()
	return nil
}

// show prints a line whenever something has changed, at most twice a second.
func (p *program) show(ctx context.Context) {
	began, last := time.Now(), ""
	for ctx.Err() == nil {
		p.mu.Lock()
		line := fmt.Sprintf("%d/%d orders taken, %d charged, %d closed", p.taken, p.total, p.ledger.Count(), len(p.outcomes))
		p.mu.Unlock()
		if line != last {
			fmt.Printf("%6.1f s  %s\n", time.Since(began).Seconds(), line)
			last = line
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func main() {
	a := parseArguments()
	orders, err := readOrders(a.orders)
	fail(err)
	ledger, err := OpenLedger(a.ledger)
	fail(err)
	if a.crashMidway {
		ledger.DieAt = len(orders) / 2
	}
	// Retries and the like go to a file, so that the screen shows the orders.
	logs, err := os.OpenFile(a.state+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	fail(err)
	logger := log.NewStructuredLogger(slog.New(slog.NewTextHandler(logs, nil)))

	c, err := client.Dial(client.Options{HostPort: "embedded:" + a.state, Logger: logger})
	fail(err)
	p := &program{client: c, ledger: ledger, settings: a.settings, total: len(orders)}
	ctx := context.Background()
	openBefore, err := p.open(ctx)
	fail(err)
	if len(openBefore) > 0 {
		fmt.Printf("%d orders are open from an earlier run; they go on where they were.\n", len(openBefore))
	}
	w := worker.New(c, taskQueue, worker.Options{MaxConcurrentActivityExecutionSize: 16})
	w.RegisterWorkflow(OrderWorkflow)
	w.RegisterActivity(&Steps{ledger})
	fail(w.Start())
	fail(p.runAll(ctx, orders))

	exact := p.report()
	if a.timeline == "" {
		a.timeline = p.choose(openBefore, orders)
	}
	fail(p.showTimeline(ctx, a.timeline))
	w.Stop()
	c.Close()
	if !exact {
		os.Exit(1)
	}
}

// runAll runs all orders at once and returns the first error.
func (p *program) runAll(ctx context.Context, orders []Order) error {
	showing, done := context.WithCancel(ctx)
	defer done()
	go p.show(showing)
	errs := make([]error, len(orders))
	var all sync.WaitGroup
	for i, order := range orders {
		all.Go(func() { errs[i] = p.runOrder(ctx, order) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// open are the workflows that an earlier run of this program has left open, with the length of their histories.
func (p *program) open(ctx context.Context) (map[string]int64, error) {
	found := map[string]int64{}
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: `ExecutionStatus = "Running"`}
	for {
		page, err := p.client.ListWorkflow(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, execution := range page.Executions {
			found[execution.Execution.WorkflowId] = execution.HistoryLength
		}
		if request.NextPageToken = page.NextPageToken; len(request.NextPageToken) == 0 {
			return found, nil
		}
	}
}

// report prints how the orders ended, and whether the ledger agrees with it; it returns whether it does.
func (p *program) report() bool {
	fmt.Printf("\nAll %d orders are closed:\n", p.total)
	counts, shipped := map[string]int{}, map[string]bool{}
	for _, outcome := range p.outcomes {
		text := outcome.Result
		if outcome.Result == "shipped" {
			shipped[outcome.OrderID] = true
		} else {
			text += ": " + outcome.Detail
		}
		counts[text]++
	}
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("  %4d  %s\n", counts[text], text)
	}
	charges, refunds, repeated, kept := p.ledger.Report()
	fmt.Printf("\nPayment ledger: %d charges, %d refunded, %d repeated requests answered without a charge.\n", charges, refunds, repeated)
	if maps.Equal(kept, shipped) {
		fmt.Printf("Each of the %d shipped orders was charged exactly once, and no other order paid.\n", len(shipped))
		return true
	}
	fmt.Printf("Charged: %v; shipped: %v\n", slices.Sorted(maps.Keys(kept)), slices.Sorted(maps.Keys(shipped)))
	return false
}

// choose is an order with a story: under way during the crash if there was one, shipped, and large.
func (p *program) choose(openBefore map[string]int64, orders []Order) string {
	shipped := map[string]bool{}
	for _, outcome := range p.outcomes {
		shipped[outcome.OrderID] = outcome.Result == "shipped"
	}
	story := func(o Order) int {
		points := o.Cents()
		// By its fourth event, a workflow's code has run once.
		if openBefore["order-"+o.ID] >= 4 {
			points += 1 << 40
		}
		if shipped[o.ID] {
			points += 1 << 39
		}
		return points
	}
	return slices.MaxFunc(orders, func(a, b Order) int { return story(a) - story(b) }).ID
}

func (p *program) showTimeline(ctx context.Context, orderID string) error {
	events := p.client.GetWorkflowHistory(ctx, "order-"+orderID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var history []*historypb.HistoryEvent
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return err
		}
		history = append(history, event)
	}
	fmt.Printf("\nHistory of order %s:\n", orderID)
	for _, line := range timeline(history) {
		fmt.Println(line)
	}
	return nil
}

// fail ends the program with an error, if there is one.
func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
