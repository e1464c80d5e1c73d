/** What an order is, and what becomes of it. Plain objects; they travel as JSON. */

/** A line of an order. */
export interface Item {
  sku: string;
  count: number;
  /** Price of one. */
  price_cents: number;
}

/** An order as a customer sends it: one line of the JSON Lines file. */
export interface Order {
  /** Unique; also the key under which the payment provider knows the charge. */
  id: string;
  customer: string;
  card: string;
  address: string;
  items: Item[];
}

/** The order's value. */
export function cents(order: Order): number {
  return order.items.reduce((sum, item) => sum + item.count * item.price_cents, 0);
}

/** A charge. The order's id is its idempotency key. */
export interface Payment {
  orderId: string;
  card: string;
  cents: number;
}

/** How an order ended. */
export interface Outcome {
  orderId: string;
  /** "refused": no approval. "failed": a step failed, and what was done before is undone. */
  result: 'shipped' | 'refused' | 'failed';
  /** Tracking number or reason. */
  detail: string;
}
