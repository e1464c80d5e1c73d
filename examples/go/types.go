package main

// Item is a line of an order.
type Item struct {
	SKU   string `json:"sku"`
	Count int    `json:"count"`
	// PriceCents is the price of one.
	PriceCents int `json:"price_cents"`
}

// Order is an order as a customer sends it: one line of the JSON Lines file.
type Order struct {
	// ID is unique, and the key under which the payment provider knows the charge.
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Card     string `json:"card"`
	Address  string `json:"address"`
	Items    []Item `json:"items"`
}

// Cents is the order's value.
func (o Order) Cents() int {
	cents := 0
	for _, item := range o.Items {
		cents += item.Count * item.PriceCents
	}
	return cents
}

// Payment is a charge. The order's id is its idempotency key.
type Payment struct {
	OrderID string
	Card    string
	Cents   int
}

// Outcome is how an order ended.
type Outcome struct {
	OrderID string
	// Result is "shipped", "refused" (no approval) or "failed" (a step failed, what was done is undone).
	Result string
	// Detail is the tracking number or the reason.
	Detail string
}
