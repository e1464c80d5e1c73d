package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Ledger is the world outside: the payment provider's own book, which knows nothing of workflows. It is a file of one
// entry per line, written through before a request is answered.
type Ledger struct {
	mu       sync.Mutex
	file     *os.File
	requests map[string]int
	charges  map[string]Charge
	// DieAt kills this process with the charge of this number: the money is taken, nobody was told. 0: never.
	DieAt int
}

// Charge is what the ledger knows of an order.
type Charge struct {
	Cents    int
	Refunded bool
}

type entry struct {
	// What is "charge" or "refund".
	What  string
	Key   string
	Cents int `json:",omitempty"`
}

// OpenLedger reads a ledger, or makes one.
func OpenLedger(path string) (*Ledger, error) {
	l := &Ledger{requests: map[string]int{}, charges: map[string]Charge{}}
	old, err := os.Open(path)
	if err == nil {
		defer old.Close()
		for lines := bufio.NewScanner(old); lines.Scan(); {
			var e entry
			// The last line may be torn by a crash; then nobody was told of it either.
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				l.apply(e)
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	return l, err
}

// apply enters a request; a key is charged once, however often it is asked for.
func (l *Ledger) apply(e entry) {
	charge, known := l.charges[e.Key]
	switch e.What {
	case "charge":
		l.requests[e.Key]++
		if !known {
			l.charges[e.Key] = Charge{Cents: e.Cents}
		}
	case "refund":
		charge.Refunded = true
		l.charges[e.Key] = charge
	}
}

func (l *Ledger) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	l.apply(e)
	return nil
}

// Charge takes the money, once per order id, and returns how often it was asked to.
func (l *Ledger) Charge(payment Payment) (requests int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = l.write(entry{"charge", payment.OrderID, payment.Cents})
	return l.requests[payment.OrderID], err
}

// Refund gives the money back; giving it back again changes nothing.
func (l *Ledger) Refund(orderID string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(entry{What: "refund", Key: orderID})
}

// MaybeDie kills this process if as many orders are charged as it was told.
func (l *Ledger) MaybeDie(orderID string) {
	if l.DieAt > 0 && l.Count() >= l.DieAt {
		fmt.Printf("The money of order %s is taken; the process dies before it can say so.\n", orderID)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Count is the number of charges so far.
func (l *Ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.charges)
}

// Report counts charges, refunds, and requests that were answered without charging again; kept are the orders that have
// paid.
func (l *Ledger) Report() (charges, refunds, repeated int, kept map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept = map[string]bool{}
	for key, charge := range l.charges {
		repeated += l.requests[key] - 1
		if charge.Refunded {
			refunds++
		} else {
			kept[key] = true
		}
	}
	return len(l.charges), refunds, repeated, kept
}
