/** The activities of the workflows whose histories cross over. */

import { ApplicationFailure, Context, heartbeat } from '@temporalio/activity';

export async function charge(amount: number): Promise<string> {
  return `charged ${amount}`;
}

export async function refuse(amount: number): Promise<string> {
  throw ApplicationFailure.nonRetryable(`${amount} is too much`);
}

/** Goes on until it is cancelled. */
export async function deliver(amount: number): Promise<string> {
  for (;;) {
    heartbeat(amount);
    await Context.current().sleep(100);
  }
}
