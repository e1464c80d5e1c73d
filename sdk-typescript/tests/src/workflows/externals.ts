/** Workflows that signal and cancel others, for tests. */

import {
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  setHandler,
  startChild,
  workflowInfo,
} from '@durably/workflow';

export const note = defineSignal<[text: string, number?: number]>('note');
export const end = defineSignal('end');
export const heard = defineQuery<unknown[]>('heard');

/** Writes down what it hears. */
export async function listens(): Promise<unknown[]> {
  const log: unknown[] = [];
  let ended = false;
  setHandler(note, (...args) => void log.push(args));
  setHandler(end, () => void (ended = true));
  setHandler(heard, () => log);
  await condition(() => ended);
  return log;
}

async function fate(promise: Promise<unknown>): Promise<string> {
  try {
    return `done: ${String(await promise)}`;
  } catch (error) {
    const { name, type, message, stack } = error as Error & { type?: string };
    const where = /externals\.ts:\d+/.test(stack ?? '') ? 'with its line' : 'without its line';
    return `${isCancellation(error) ? 'cancelled' : 'failed'}: ${name} ${type ?? ''} ${message} ${where}`;
  }
}

export async function speaks(to: string, runId?: string): Promise<unknown[]> {
  const handle = getExternalWorkflowHandle(to, runId);
  return [handle.workflowId, handle.runId, await fate(handle.signal(note, 'hello', 1)), await fate(handle.signal('note', 'bye'))];
}

export async function asks(to: string, runId?: string): Promise<string> {
  return await fate(getExternalWorkflowHandle(to, runId).cancel());
}

/** So many signals at once, to so many. */
export async function broadcasts(to: string[], each: number): Promise<void> {
  await Promise.all(
    to.flatMap((id) => Array.from({ length: each }, (_, number) => getExternalWorkflowHandle(id).signal(note, 'n', number))),
  );
  await Promise.all(to.map((id) => getExternalWorkflowHandle(id).signal(end)));
}

/** To itself: servers don't deliver that. */
export async function talksToItself(): Promise<string[]> {
  const handle = getExternalWorkflowHandle(workflowInfo().workflowId);
  return [await fate(handle.signal(note, 'hello me')), await fate(handle.cancel())];
}

/** Cancelled before they are sent: the signal is taken back, the request stays. */
export async function takesBack(to: string): Promise<string[]> {
  const log: string[] = [];
  const scope = new CancellationScope();
  const signal = scope.run(() => getExternalWorkflowHandle(to).signal(note, 'never'));
  scope.cancel();
  log.push(await fate(signal));
  log.push(await fate(scope.run(() => getExternalWorkflowHandle(to).signal(note, 'never'))));
  log.push(await fate(scope.run(() => getExternalWorkflowHandle(to).cancel())));
  log.push(await fate(CancellationScope.nonCancellable(() => getExternalWorkflowHandle(to).signal(note, 'shielded'))));
  return log;
}

/** A child hears its parent, and not one that has taken its id. */
export async function speaksToItsChild(): Promise<unknown[]> {
  const child = await startChild(listens, { workflowId: `${workflowInfo().workflowId}-child` });
  await child.signal(note, 'from above', 7);
  await child.signal('note', 'by name');
  await child.signal(end);
  const log = await child.result();
  return [log, await fate(child.signal(end))];
}
