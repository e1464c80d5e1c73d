/** The workflows of this behaviour, on their own because they are bundled. */

import {
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  executeChild,
  setHandler,
  startChild,
  TerminatedFailure,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError, type WorkflowIdReusePolicy } from '@temporalio/common';

export const ALREADY_STARTED = 'WorkflowAlreadyStarted';

export async function greets(name: string): Promise<string> {
  return `hello ${name}`;
}

/** Returns the workflow ids of its parent and of the topmost one. */
export async function relatives(): Promise<string[]> {
  const { parent, root } = workflowInfo();
  return [parent?.workflowId ?? '', root?.workflowId ?? ''];
}

export const word = defineSignal<[word: string]>('word');

/** Collects three words. */
export async function collects(): Promise<string> {
  const words: string[] = [];
  setHandler(word, (one) => void words.push(one));
  await condition(() => words.length === 3);
  return words.join(' ');
}

export async function fails(): Promise<void> {
  const cause = ApplicationFailure.create({ message: 'the reason', type: 'Root' });
  throw ApplicationFailure.create({ message: 'deliberate', type: 'Deliberate', nonRetryable: true, details: [{ code: 7 }], cause });
}

/** Fails until its attempt of this number, and returns that. */
export async function flaky(succeedsAt: number): Promise<number> {
  const { attempt } = workflowInfo();
  if (attempt < succeedsAt) throw ApplicationFailure.create({ message: `attempt ${attempt}`, type: 'NotYet' });
  return attempt;
}

/** Continues as new until nothing is left; returns whether its last run is another than its first. */
export async function countsDown(left: number): Promise<boolean> {
  if (left > 0) await continueAsNew<typeof countsDown>(left - 1);
  return workflowInfo().runId !== workflowInfo().firstExecutionRunId;
}

/** A failure as a list that is the same in every language, its causes after it. */
export function outcome(error: unknown): unknown[] {
  const told: unknown[] = [];
  for (let cause = error; cause !== undefined && cause !== null; cause = (cause as Error).cause) {
    if (cause instanceof ChildWorkflowFailure) told.push(['child', cause.workflowType, cause.retryState]);
    else if (cause instanceof ApplicationFailure) told.push(['application', cause.type, cause.message, cause.details ?? []]);
    else if (cause instanceof TimeoutFailure) told.push(['timeout', cause.timeoutType]);
    else if (cause instanceof TerminatedFailure) told.push(['terminated']);
    else if (cause instanceof CancelledFailure) told.push(['cancelled']);
    else if (cause instanceof WorkflowExecutionAlreadyStartedError) told.push([ALREADY_STARTED, cause.workflowId, cause.workflowType]);
    else told.push([(cause as Error).name, String(cause)]);
  }
  return told;
}

export interface Options {
  queue?: string;
  seconds?: number;
  attempts?: number;
  reuse?: WorkflowIdReusePolicy;
  memo?: Record<string, unknown>;
}

/** Runs the child of this type, and returns its result or how it failed. */
export async function tells(type: string, workflowId: string, args: unknown[], options: Options): Promise<unknown> {
  try {
    return await executeChild(type, {
      args,
      workflowId,
      taskQueue: options.queue,
      workflowRunTimeout: options.seconds && options.seconds * 1000,
      retry: options.attempts === undefined ? undefined : { initialInterval: 1, maximumAttempts: options.attempts },
      workflowIdReusePolicy: options.reuse,
      memo: options.memo,
    });
  } catch (error) {
    return outcome(error);
  }
}

/** Lets the failure of its child fail itself. */
export async function passesOn(workflowId: string): Promise<void> {
  await executeChild(fails, { workflowId });
}

export const started = defineQuery<string>('started');
export const send = defineSignal('send');

/** Starts a child, sends it words, and only then waits for it. */
export async function twoSteps(workflowId: string): Promise<string> {
  let firstRun = '';
  let go = false;
  setHandler(started, () => firstRun);
  setHandler(send, () => void (go = true));
  const child = await startChild(collects, { workflowId });
  if (child.workflowId !== workflowId) throw ApplicationFailure.nonRetryable(child.workflowId);
  firstRun = child.firstExecutionRunId;
  await condition(() => go);
  await child.signal(word, 'one');
  await child.signal('word', 'two');
  await child.signal(word, 'three');
  return await child.result();
}

/** Starts two children of one id, one after the other. */
export async function twice(workflowId: string): Promise<[told: unknown[], result: string]> {
  const first = await startChild(collects, { workflowId });
  let told: unknown[] = [];
  try {
    await startChild(greets, { workflowId, args: ['nobody'] });
  } catch (error) {
    told = outcome(error);
  }
  for (const one of ['it', 'goes', 'on']) await first.signal(word, one);
  return [told, await first.result()];
}

/** Twelve children, of which three are under way at a time; each fourth one fails. */
export async function inParallel(id: string): Promise<string[]> {
  let free = 3;
  const one = async (number: number): Promise<string> => {
    await condition(() => free > 0);
    free--;
    try {
      const workflowId = `${id}-${number}`;
      if (number % 4 === 3) await executeChild(fails, { workflowId });
      return await executeChild(greets, { workflowId, args: [String(number)] });
    } finally {
      free++;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: 12 }, (_, number) => one(number)));
  return ended.map((end) => {
    if (end.status === 'fulfilled') return end.value;
    return end.reason instanceof ChildWorkflowFailure ? 'failed' : String(end.reason);
  });
}
