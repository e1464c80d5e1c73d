/** Parents and children, for tests of how they start, end and cancel each other. */

import { WorkflowExecutionAlreadyStartedError } from '@durably/common';
import {
  ApplicationFailure,
  CancellationScope,
  type ChildWorkflowCancellationType,
  ChildWorkflowFailure,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  executeChild,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  setHandler,
  sleep,
  startChild,
  uuid4,
  workflowInfo,
} from '@durably/workflow';

export const go = defineSignal('go');
export const seen = defineQuery<string[]>('seen');

const { work } = proxyActivities<{ work(order: string): Promise<string> }>({ startToCloseTimeout: '1 minute' });

export async function greets(name: string): Promise<string> {
  return `hello ${name}`;
}

export async function fails(message: string): Promise<never> {
  throw ApplicationFailure.create({ message, type: 'Deliberate', nonRetryable: true, details: [{ code: 7 }], cause: new RangeError('too far') });
}

/** Waits to be told, or to be cancelled; how long its cancellation takes is up to the signal too. */
export async function waits(declines = false): Promise<string> {
  const log = ['waiting'];
  let told = false;
  setHandler(go, () => void (told = true));
  setHandler(seen, () => log);
  try {
    await condition(() => told);
    return 'told';
  } catch (error) {
    log.push('cancelled');
    await CancellationScope.nonCancellable(() => condition(() => told));
    if (declines) return 'declined';
    throw error;
  }
}

/** What became of a promise, in one line. */
async function fate(promise: Promise<unknown>): Promise<string> {
  try {
    return `done: ${JSON.stringify(await promise)}`;
  } catch (error) {
    const names: string[] = [];
    for (let of: unknown = error; of instanceof Error; of = of.cause) names.push(of.name);
    return `${isCancellation(error) ? 'cancelled' : 'failed'}: ${names.join(' < ')}`;
  }
}

// -- As programs of users have them

/** Orders, at most so many at a time; what fails is counted, and stops no other. */
export async function batch(count: number, atOnce: number): Promise<{ succeeded: number; failed: number; most: number }> {
  let running = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const one = async (number: number): Promise<string> => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    most = Math.max(most, running);
    try {
      return await executeChild(order, { args: [number], workflowId: `${workflowInfo().workflowId}-order-${number}` });
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
  const results = await Promise.allSettled(Array.from({ length: count }, (_, number) => one(number)));
  const failed = results.filter(({ status }) => status === 'rejected').length;
  return { succeeded: results.length - failed, failed, most };
}

export async function order(number: number): Promise<string> {
  if (number % 10 === 9) throw ApplicationFailure.nonRetryable(`order ${number}`);
  return `order ${number}`;
}

/** A child on another queue, whose worker has its code. */
export async function elsewhere(taskQueue: string): Promise<unknown> {
  return await executeChild('elsewhere', { taskQueue, args: ['a', 2], workflowId: `${workflowInfo().workflowId}/child` });
}

/** Generations: each child has one below it, the last one fails. */
export async function generations(below: number): Promise<string[]> {
  if (below === 0) throw ApplicationFailure.nonRetryable('the last one', 'Last');
  const id = workflowInfo().workflowId;
  return await executeChild(generations, { args: [below - 1], workflowId: `${id}-${below - 1}` });
}

export async function relatives(below: number): Promise<unknown[]> {
  const { parent, root } = workflowInfo();
  const own = [parent?.workflowId, parent?.namespace, parent?.runId.length, root?.workflowId, root?.runId.length];
  if (below === 0) return [own];
  return [own, ...(await executeChild(relatives, { args: [below - 1], workflowId: `${workflowInfo().workflowId}-${below - 1}` }))];
}

// -- How children end

export async function hearsOfFailures(): Promise<unknown[]> {
  const told: unknown[] = [];
  for (const type of ['fails', 'nobody', 'ranOut'] as const) {
    try {
      const workflowId = `${workflowInfo().workflowId}-${type}`;
      if (type === 'nobody') await executeChild(waits, { workflowId, args: [], workflowRunTimeout: 200 });
      else await executeChild(type, { workflowId, args: ['on purpose'] });
    } catch (error) {
      if (!(error instanceof ChildWorkflowFailure)) throw error;
      const { message, namespace, execution, workflowType, retryState, cause, stack } = error;
      told.push([message, namespace, execution.workflowId, String(execution.runId).length, workflowType, retryState, cause?.name, cause?.message, stack]);
    }
  }
  return told;
}

/** Fails once, and then continues as new as often as it is told. */
export async function ranOut(): Promise<never> {
  throw ApplicationFailure.create({ message: 'ran out', nonRetryable: false });
}

export async function comesBack(times: number): Promise<string> {
  const { attempt, runId, firstExecutionRunId } = workflowInfo();
  if (times > 0) await continueAsNew<typeof comesBack>(times - 1);
  if (attempt < 3) throw ApplicationFailure.retryable(`attempt ${attempt}`);
  return `attempt ${attempt}, the first run: ${runId === firstExecutionRunId}`;
}

/** Starts a child that continues as new and is retried; tells how often it heard of it. */
export async function hearsOnce(): Promise<string[]> {
  const log: string[] = [];
  const child = await startChild(comesBack, { args: [2], retry: { initialInterval: 1 } });
  log.push(String(child.firstExecutionRunId.length));
  log.push(await child.result());
  log.push(await child.result());
  return log;
}

/** The failure of the child is left alone: it ends this one. */
export async function passesOn(): Promise<void> {
  await executeChild(fails, { args: ['on purpose'], workflowId: `${workflowInfo().workflowId}-child` });
}

// -- Ids that are taken

export async function takesTwice(): Promise<string[]> {
  const { workflowId } = workflowInfo();
  const first = await startChild(waits, { workflowId: `${workflowId}-child`, args: [] });
  const log = [await fate(executeChild(greets, { workflowId: first.workflowId, args: ['nobody'] })), await fate(startChild(greets, { workflowId, args: [''] }))];
  try {
    await startChild(greets, { workflowId, args: [''] });
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) log.push(`${error.workflowId === workflowId} ${error.workflowType} ${error.message}`);
    log.push(/children\.ts:\d+/.test((error as Error).stack ?? '') ? 'with its line' : String((error as Error).stack));
  }
  await first.signal(go);
  log.push(await first.result());
  return log;
}

/** The same, without a word about it. */
export async function takesItsOwn(): Promise<void> {
  await executeChild(greets, { workflowId: workflowInfo().workflowId, args: ['nobody'] });
}

// -- Cancellation

/** Starts a child in a scope, cancels it when the child runs, and goes on when it is told. */
export async function cancels(workflowId: string, cancellationType: ChildWorkflowCancellationType, declines: boolean): Promise<string[]> {
  const log: string[] = [];
  let told = false;
  setHandler(go, () => void (told = true));
  setHandler(seen, () => log);
  const scope = new CancellationScope();
  const child = await scope.run(() => startChild(waits, { workflowId, cancellationType, args: [declines] }));
  log.push('started');
  await condition(() => told);
  told = false;
  scope.cancel();
  log.push(await fate(child.result()));
  await condition(() => told);
  return log;
}

/** Cancels before the server has heard of the child: at once, and in a scope that is cancelled already. */
export async function cancelsEarly(): Promise<string[]> {
  const log: string[] = [];
  for (const cancellationType of ['ABANDON', 'TRY_CANCEL', 'WAIT_CANCELLATION_COMPLETED'] as const) {
    const scope = new CancellationScope();
    const options = { cancellationType, args: [] as [] };
    const started = scope.run(() => startChild(waits, options));
    const executed = scope.run(() => executeChild(waits, options));
    scope.cancel();
    log.push(await fate(started), await fate(executed), await fate(scope.run(() => executeChild(waits, options))));
  }
  return log;
}

/** Cancels between the start's command and the start. */
export async function cancelsBetween(cancellationType: ChildWorkflowCancellationType): Promise<string[]> {
  const scope = new CancellationScope();
  const options = { workflowId: `${workflowInfo().workflowId}-child`, cancellationType, args: [] as [] };
  const started = scope.run(() => startChild(leaves, options));
  // The signal comes with the task after the one that has the command; the start may, too.
  let told = false;
  setHandler(go, () => void (told = true));
  await condition(() => told);
  scope.cancel();
  return [await fate(started.then((child) => child.result()))];
}

/** Ends as cancelled when it is. */
export async function leaves(): Promise<void> {
  await sleep('1 hour');
}

export async function shields(): Promise<string[]> {
  const { workflowId } = workflowInfo();
  const child = await CancellationScope.nonCancellable(() => startChild(waits, { workflowId: `${workflowId}-child`, args: [] }));
  const log = [await fate(Promise.race([child.result(), CancellationScope.current().cancelRequested]))];
  log.push(await fate(CancellationScope.current().run(() => child.signal(go))));
  await CancellationScope.nonCancellable(() => child.signal(go));
  log.push(await fate(child.result()));
  return log;
}

/** A child that takes longer than it may. */
export async function limits(): Promise<string[]> {
  return [
    await fate(CancellationScope.withTimeout(200, () => executeChild(leaves))),
    await fate(CancellationScope.withTimeout('1 hour', () => executeChild(greets, { args: ['Ada'] }))),
  ];
}

/** Is cancelled from outside while it waits for a child and does nothing about it. */
export async function isCancelled(): Promise<void> {
  await executeChild(leaves, { workflowId: `${workflowInfo().workflowId}-child` });
}

// -- Who waits, and who doesn't

/** A child whose failure nobody asks about ends nothing; one that is executed and not awaited does. */
export async function ignores(how: 'start' | 'execute'): Promise<string> {
  const options = { args: ['unheard'] as [string] };
  if (how === 'start') await startChild(fails, options);
  else void executeChild(fails, options);
  await sleep(500);
  return 'unmoved';
}

/** Leaves a child behind. */
export async function abandons(parentClosePolicy: ParentClosePolicy): Promise<string> {
  const child = await startChild(waits, { parentClosePolicy, args: [true] });
  return child.workflowId;
}

/** Nobody polls the child's queue. */
export async function isStuck(): Promise<void> {
  await executeChild(greets, { args: ['nobody'], taskQueue: 'nobody', workflowId: `${workflowInfo().workflowId}-child` });
}

export async function passesTheUnspeakable(): Promise<void> {
  await executeChild(greets, { args: [1n as unknown as string] });
}

/** A query's handler may start nothing. */
export async function startsInQuery(): Promise<void> {
  setHandler(seen, () => {
    void startChild(greets, { args: ['nobody'] });
    return [];
  });
  await condition(() => false);
}

// -- In which order what waits goes on

/** What is awaited in different ways ends in one task: the commands that follow tell in which order code went on. */
export async function turns(): Promise<string[]> {
  const log: string[] = [uuid4()];
  const children = await Promise.all(['a', 'b'].map((name) => startChild(greets, { args: [name] })));
  const after = async (name: string, promise: Promise<unknown>): Promise<void> => {
    await promise;
    log.push(await work(name));
  };
  await Promise.all([
    after('result', children[0]!.result()),
    after('executed', executeChild(greets, { args: ['c'] })),
    after('activity', work('first')),
    after('slept', sleep(1)),
    after('other result', children[1]!.result()),
    after('signal', children[0]!.signal('late').catch(() => undefined)),
  ]);
  return log;
}
