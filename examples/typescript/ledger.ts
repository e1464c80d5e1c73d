/**
 * The world outside: the payment provider's own book, which knows nothing of workflows. It is a file of one entry per
 * line, written before a request is answered.
 */

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { Payment } from './types';

type Entry = { what: 'charge'; key: string; cents: number } | { what: 'refund'; key: string };

/** What the ledger knows of an order. */
interface Charge {
  cents: number;
  refunded: boolean;
  /** How often the charge was asked for; the money was taken once. */
  requests: number;
}

export class Ledger {
  private readonly charges = new Map<string, Charge>();
  /** Kills this process with the charge of this number: the money is taken, nobody was told. */
  dieAt = Number.POSITIVE_INFINITY;

  /** Reads a ledger; a new one is empty. */
  constructor(private readonly path: string) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    // What follows the last line break was torn by a crash; then nobody was told of it either.
    for (const line of text.split('\n').slice(0, -1)) {
      this.apply(JSON.parse(line));
    }
  }

  /** Takes the money, once per order id; returns how often it was asked to. */
  charge(payment: Payment): number {
    this.write({ what: 'charge', key: payment.orderId, cents: payment.cents });
    return this.charges.get(payment.orderId)?.requests ?? 0;
  }

  /** Gives the money back; giving it back again changes nothing. */
  refund(orderId: string): void {
    this.write({ what: 'refund', key: orderId });
  }

  /** Kills this process if as many orders are charged as it was told. */
  maybeDie(orderId: string): void {
    if (this.count >= this.dieAt) {
      console.log(`The money of order ${orderId} is taken; the process dies before it can say so.`);
      process.kill(process.pid, 'SIGKILL');
    }
  }

  /** Charges so far. */
  get count(): number {
    return this.charges.size;
  }

  /** Counts refunds, and requests that were answered without charging again; `kept` are the orders that have paid. */
  report(): { refunds: number; repeated: number; kept: Set<string> } {
    let refunds = 0;
    let repeated = 0;
    const kept = new Set<string>();
    for (const [key, charge] of this.charges) {
      repeated += charge.requests - 1;
      if (charge.refunded) {
        refunds += 1;
      } else {
        kept.add(key);
      }
    }
    return { refunds, repeated, kept };
  }

  private write(entry: Entry): void {
    appendFileSync(this.path, `${JSON.stringify(entry)}\n`);
    this.apply(entry);
  }

  /** Enters a request; a key is charged once, however often it is asked for. */
  private apply(entry: Entry): void {
    const known = this.charges.get(entry.key);
    if (entry.what === 'charge' && known === undefined) {
      this.charges.set(entry.key, { cents: entry.cents, refunded: false, requests: 1 });
    } else if (entry.what === 'charge' && known !== undefined) {
      known.requests += 1;
    } else if (known !== undefined) {
      known.refunded = true;
    }
  }
}
