/**
 * The order workflow: validate, charge, reserve, wait for approval, ship; and undo what was done when a step fails.
 *
 * Read `fulfil` from top to bottom: that is the whole business process. It survives crashes at any line, because every
 * step is in the workflow's history before the next one begins.
 */

import {
  ActivityFailure,
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  proxyActivities,
  setHandler,
  sleep,
} from '@durably/workflow';
import type { Activities } from './activities';
import type { Order, Outcome, Payment } from './types';

/** Orders from this value on (in cents) are shipped only after somebody has approved them. */
export const APPROVAL_LIMIT = 500_00;

/** What the caller of the workflow decides about time. */
export interface Settings {
  /** How long an order waits for its approval. */
  approvalSeconds: number;
  /** How long a paid order waits before it ships. */
  coolingOffSeconds: number;
}

/** A manager's decision about an order that needs approval. */
export const decide = defineSignal<[approved: boolean]>('decide');
/** Where the order is at this moment. */
export const status = defineQuery<string>('status');

const { validate, charge, refund, reserve, release, ship, sendReceipt } = proxyActivities<Activities>({
  // One attempt of a step may take this long; then its worker counts as dead, and the step is tried elsewhere.
  startToCloseTimeout: '10 seconds',
  // A step is tried again after 0.1, 0.2, 0.4 … seconds, unless its error says that trying again is of no use.
  retry: { initialInterval: '100 ms', maximumInterval: '5 seconds' },
});

/** One order, from its arrival to its shipment or its refusal. */
export async function orderWorkflow(order: Order, settings: Settings): Promise<Outcome> {
  let current = 'received';
  setHandler(status, () => current);
  // What to do, last first, if a later step fails: the saga's compensations.
  const compensations: (() => Promise<void>)[] = [];

  async function fulfil(): Promise<Outcome> {
    current = 'validating';
    const cents = await validate(order);

    if (cents >= APPROVAL_LIMIT) {
      current = 'waiting for approval';
      const approved = await approval(settings.approvalSeconds);
      if (!approved) {
        current = 'refused';
        const detail = approved === undefined ? 'not approved in time' : 'not approved';
        return { orderId: order.id, result: 'refused', detail };
      }
    }

    current = 'charging';
    const payment: Payment = { orderId: order.id, card: order.card, cents };
    await charge(payment);
    compensations.push(() => refund(payment));

    current = 'reserving';
    await reserve(order.id, order.items);
    compensations.push(() => release(order.id));

    current = 'cooling off';
    await sleep(settings.coolingOffSeconds * 1000, { summary: 'time for second thoughts' });

    current = 'shipping';
    const tracking = await ship(order.id, order.address);
    await sendReceipt(order.customer, tracking);
    current = 'shipped';
    return { orderId: order.id, result: 'shipped', detail: tracking };
  }

  try {
    return await fulfil();
  } catch (error) {
    if (!(error instanceof ActivityFailure)) {
      throw error;
    }
    current = 'undoing';
    for (const undo of compensations.reverse()) {
      await undo();
    }
    current = 'failed';
    const reason = error.cause instanceof ApplicationFailure ? error.cause.message : String(error.cause);
    return { orderId: order.id, result: 'failed', detail: reason };
  }
}

/** A manager's decision, or `undefined` if there was none in time. */
async function approval(seconds: number): Promise<boolean | undefined> {
  let decision: boolean | undefined;
  setHandler(decide, (approved) => {
    decision = approved;
  });
  await condition(() => decision !== undefined, seconds * 1000);
  return decision;
}
