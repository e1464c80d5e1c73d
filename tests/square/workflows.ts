/** The workflows of the square's worker in TypeScript. */

import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  condition,
  defineSignal,
  executeChild,
  proxyActivities,
  setHandler,
  startChild,
} from '@temporalio/workflow';
import type * as activities from './activities';
import { describe, VALUES, type Values } from './values';

type Json = Record<string, unknown>;

/** Calls each activity of another language, and reports what it saw. */
export async function Square(queue: string): Promise<Json> {
  const there = proxyActivities<typeof activities>({
    taskQueue: queue,
    startToCloseTimeout: '1 minute',
    retry: { initialInterval: 10 },
  });
  const { object, list, nothing, text, bytes } = VALUES;
  const inspected = await there.inspect(object, list, nothing, text, bytes);
  const given: Json = {};
  for (const kind of Object.keys(VALUES) as (keyof Values)[]) given[kind] = await there.give(kind);
  const refused = await there.refuse().catch(refusal);
  return { inspected, given: describe(given as unknown as Values), refused, resumed: await there.resume() };
}

function refusal(error: unknown): Json {
  const why = error instanceof ActivityFailure || error instanceof ChildWorkflowFailure ? error.cause : undefined;
  if (!(why instanceof ApplicationFailure) || !(why.cause instanceof ApplicationFailure)) throw error;
  const { type, message, details, nonRetryable, cause } = why;
  return { type, message, details, nonRetryable, cause: { type: why.cause.type, message: cause?.message } };
}

/** Is cancelled while an activity of another language is under way, and reports how that one ended. */
export async function SquareCancelled(queue: string): Promise<unknown> {
  const there = proxyActivities<typeof activities>({
    taskQueue: queue,
    startToCloseTimeout: '1 minute',
    heartbeatTimeout: '30 seconds',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
  try {
    await there.linger();
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof CancelledFailure) {
      return { cancelled: error.cause.details };
    }
    throw error;
  }
  return 'not cancelled';
}

const tell = defineSignal<[unknown]>('tell');

/** Starts two children of another language: tells one something, and sees the other fail. */
export async function SquareParent(taskQueue: string): Promise<Json> {
  const listener = await startChild('SquareChild', { args: [false], taskQueue });
  await listener.signal(tell, VALUES.object);
  const heard = await listener.result();
  const refused = await executeChild('SquareChild', { args: [true], taskQueue }).catch(refusal);
  return { heard, refused };
}

/** Fails, or returns what it is told. */
export async function SquareChild(refuses: boolean): Promise<unknown> {
  if (refuses) {
    throw ApplicationFailure.create({
      message: 'no, ü',
      type: 'Refused',
      nonRetryable: true,
      details: [{ code: 7 }, 'ü'],
      cause: ApplicationFailure.create({ message: 'deep down', type: 'Deeper' }),
    });
  }
  const told: unknown[] = [];
  setHandler(tell, (value) => void told.push(value));
  await condition(() => told.length > 0);
  return told[0];
}
