package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/temporal"
)

// Steps touch the world: a payment provider, a warehouse, a carrier, a mail server. They stand in for real services and
// misbehave as those do: the payment provider drops connections, a card is declined, goods are out of stock, an address
// can't be reached. A step may be run more than once, for example when the process dies between doing it and saying so.
// So each one that must not happen twice hands over an idempotency key.
type Steps struct{ Ledger *Ledger }

// refusal is an answer that no retry will change, and that nobody has to be woken for.
func refusal(message, kind string) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// Validate checks the order and returns its value in cents.
func (s *Steps) Validate(_ context.Context, order Order) (int, error) {
	for _, item := range order.Items {
		if item.Count < 1 {
			return 0, refusal("an order needs at least one of each item", "InvalidOrder")
		}
	}
	if len(order.Items) == 0 {
		return 0, refusal("an order needs at least one item", "InvalidOrder")
	}
	return order.Cents(), nil
}

// Charge takes the money, once per order id.
func (s *Steps) Charge(_ context.Context, payment Payment) error {
	if strings.HasSuffix(payment.Card, "0002") {
		return refusal("card declined", "CardDeclined")
	}
	requests, err := s.Ledger.Charge(payment)
	if err != nil {
		return err
	}
	if requests == 1 && strings.HasSuffix(payment.Card, "5") {
		// The money is taken, the answer is lost. The retry policy asks again, with the same key.
		return errors.New("payment provider: connection reset")
	}
	s.Ledger.MaybeDie(payment.OrderID)
	return nil
}

// Refund undoes Charge; doing it again changes nothing.
func (s *Steps) Refund(_ context.Context, payment Payment) error {
	return s.Ledger.Refund(payment.OrderID)
}

// Reserve sets the goods aside.
func (s *Steps) Reserve(_ context.Context, _ string, items []Item) error {
	for _, item := range items {
		if item.SKU == "unobtainium" {
			return refusal("unobtainium is out of stock", "OutOfStock")
		}
	}
	return nil
}

// Release undoes Reserve.
func (s *Steps) Release(context.Context, string) error { return nil }

// Ship hands the parcel to the carrier and returns the tracking number.
func (s *Steps) Ship(_ context.Context, orderID, address string) (string, error) {
	if strings.Contains(address, "Atlantis") {
		return "", refusal(fmt.Sprintf("no carrier goes to %s", address), "Unreachable")
	}
	return "parcel-" + orderID, nil
}

// SendReceipt writes to the customer.
func (s *Steps) SendReceipt(ctx context.Context, customer, tracking string) error {
	activity.GetLogger(ctx).Debug("Receipt sent.", "customer", customer, "tracking", tracking)
	return nil
}
