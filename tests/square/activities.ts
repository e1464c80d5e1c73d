/** The activities of the square's worker in TypeScript. */

import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { describe, VALUES, type Values } from './values';

export async function inspect(
  object: Values['object'],
  list: Values['list'],
  nothing: Values['nothing'],
  text: string,
  bytes: Uint8Array
): Promise<Record<string, unknown>> {
  return describe({ object, list, nothing, text, bytes });
}

export async function give(kind: keyof Values): Promise<unknown> {
  return VALUES[kind];
}

export async function refuse(): Promise<void> {
  throw ApplicationFailure.create({
    message: 'no, ü',
    type: 'Refused',
    nonRetryable: true,
    details: [{ code: 7 }, 'ü'],
    cause: ApplicationFailure.create({ message: 'deep down', type: 'Deeper' }),
  });
}

export async function resume(): Promise<unknown> {
  const context = Context.current();
  if (context.info.attempt === 1) {
    // One value, here: a heartbeat has no more in this language.
    context.heartbeat([{ at: 3 }, 'ü']);
    throw ApplicationFailure.create({ message: 'once more', type: 'Once' });
  }
  return context.info.heartbeatDetails;
}

export async function linger(): Promise<void> {
  const context = Context.current();
  const pace = setInterval(() => context.heartbeat('here'), 50);
  try {
    await context.cancelled;
  } catch {
    throw new CancelledFailure('swept up', [{ crumbs: 2 }]);
  } finally {
    clearInterval(pace);
  }
}
