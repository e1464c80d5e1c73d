/**
 * The steps that touch the world: a payment provider, a warehouse, a carrier, a mail server.
 *
 * They stand in for real services and misbehave as those do: the payment provider drops connections, a card is declined,
 * goods are out of stock, an address can't be reached. A step may be run more than once, for example when the process
 * dies between doing it and saying so. So each one that must not happen twice hands over an idempotency key.
 */

import { log } from '@durably/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@durably/common';
import type { Ledger } from './ledger';
import { cents, type Item, type Order, type Payment } from './types';

/** An answer that no retry will change, and that nobody has to be woken for. */
function refusal(message: string, type: string): ApplicationFailure {
  return ApplicationFailure.create({ message, type, nonRetryable: true, category: ApplicationFailureCategory.BENIGN });
}

export type Activities = ReturnType<typeof createActivities>;

export function createActivities(ledger: Ledger) {
  return {
    /** Checks the order; returns its value in cents. */
    async validate(order: Order): Promise<number> {
      if (order.items.length === 0 || order.items.some((item) => item.count < 1)) {
        throw refusal('an order needs at least one item', 'InvalidOrder');
      }
      return cents(order);
    },

    /** Charges the card. */
    async charge(payment: Payment): Promise<void> {
      if (payment.card.endsWith('0002')) {
        throw refusal('card declined', 'CardDeclined');
      }
      const requests = ledger.charge(payment);
      if (requests === 1 && payment.card.endsWith('5')) {
        // The money is taken, the answer is lost. The retry policy asks again, with the same key.
        throw new Error('payment provider: connection reset');
      }
      ledger.maybeDie(payment.orderId);
    },

    /** Undoes `charge`; doing it again changes nothing. */
    async refund(payment: Payment): Promise<void> {
      ledger.refund(payment.orderId);
    },

    /** Sets the goods aside. */
    async reserve(_orderId: string, items: Item[]): Promise<void> {
      if (items.some((item) => item.sku === 'unobtainium')) {
        throw refusal('unobtainium is out of stock', 'OutOfStock');
      }
    },

    /** Undoes `reserve`. */
    async release(_orderId: string): Promise<void> {},

    /** Hands the parcel to the carrier; returns the tracking number. */
    async ship(orderId: string, address: string): Promise<string> {
      if (address.includes('Atlantis')) {
        throw refusal(`no carrier goes to ${address}`, 'Unreachable');
      }
      return `parcel-${orderId}`;
    },

    /** Writes to the customer. */
    async sendReceipt(customer: string, tracking: string): Promise<void> {
      log.debug('Receipt sent.', { customer, tracking });
    },
  };
}
