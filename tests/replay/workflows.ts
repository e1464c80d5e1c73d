/**
 * Workflows whose histories cross over: recorded with the official SDK (`record.ts`), replayed with ours.
 *
 * They touch whatever decides a history: numbering, the order in which waiting code goes on, timers of time-outs, random
 * numbers, scopes, the types of cancellation, children and messages to other workflows.
 */

import {
  ActivityCancellationType,
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowCancellationType,
  condition,
  continueAsNew,
  defineSignal,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  proxyActivities,
  setHandler,
  sleep,
  startChild,
  Trigger,
  uuid4,
} from '@temporalio/workflow';
import type * as activities from './activities';

export { changes, echoes } from './updates';

const options = { startToCloseTimeout: '10 seconds', heartbeatTimeout: '2 seconds' } as const;
const { charge, refuse } = proxyActivities<typeof activities>(options);

export const approve = defineSignal<[boolean]>('approve');

/** Fan-out, a signal whose handler calls an activity, a condition with a time-out, an error, random decisions. */
export async function order(amount: number): Promise<string> {
  let approved: boolean | undefined;
  setHandler(approve, async (answer) => {
    await charge(99);
    approved = answer;
  });
  const first = await charge(amount);
  await Promise.all([charge(1), charge(2), sleep(200), condition(() => approved !== undefined, '1 ms')]);
  await condition(() => approved !== undefined, '30 seconds');
  await refuse(1000).catch(() => charge(5));
  if (Math.random() < 0.5) await sleep(100);
  else await charge(6);
  for (let i = Math.floor(Math.random() * 4); i >= 0; i--) await sleep(50);
  return `${first}, ${uuid4()}, ${approved}`;
}

/** Activities cancelled in each way, before and after they began; timers cancelled by code and by a time-out. */
export async function cancellations(amount: number): Promise<string[]> {
  const seen: string[] = [];
  for (const cancellationType of Object.values(ActivityCancellationType)) {
    const { deliver } = proxyActivities<typeof activities>({ ...options, cancellationType });
    for (const before of [0, 300]) {
      const scope = new CancellationScope();
      const delivered = scope.run(() => deliver(amount)).catch((error) => isCancellation(error));
      if (before) await sleep(before);
      scope.cancel();
      seen.push(`${cancellationType} ${before} ${await delivered}`);
    }
  }
  const timer = new CancellationScope();
  const slept = timer.run(() => sleep('1 hour')).catch(() => 'cancelled');
  timer.cancel();
  seen.push(String(await slept));
  const { deliver } = proxyActivities<typeof activities>(options);
  await CancellationScope.withTimeout(200, () => deliver(amount)).catch((error) => seen.push(String(isCancellation(error))));
  return seen;
}

/** Cancelled from outside: cleans up in a scope that goes on. */
export async function cleansUp(amount: number): Promise<void> {
  const { deliver } = proxyActivities<typeof activities>(options);
  try {
    await Promise.all([deliver(amount), sleep('1 hour'), condition(() => false, '1 hour')]);
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(async () => {
      await charge(amount);
      await Promise.all([sleep(20), charge(7)]);
    });
    throw error;
  }
}

/** Coroutines that take turns: their commands come in the order in which promises settle. */
export async function turns(amount: number): Promise<string> {
  const order: string[] = [];
  const gate = new Trigger<string>();
  const worker = async (name: string, waits: number): Promise<void> => {
    for (let i = 0; i < waits; i++) await null;
    order.push(name);
    await charge(name.length + amount);
    await CancellationScope.cancellable(async () => {
      await gate;
      await sleep(name.length);
    });
    order.push(name);
  };
  setTimeout(() => gate.resolve('open'), 100);
  const all = [worker('a', 3), worker('bb', 0), worker('ccc', 1), condition(() => order.length > 3).then(() => charge(50))];
  const timeout = setTimeout(() => order.push('never'), 60_000);
  await Promise.all(all);
  clearTimeout(timeout);
  await Promise.race([sleep(10), condition(() => order.includes('never'), 5)]);
  return order.join(' ');
}

/** A child: waits for a signal, continues as new, or fails. */
export async function child(amount: number): Promise<string> {
  if (amount < 0) throw ApplicationFailure.nonRetryable(`${amount} is too little`);
  if (amount > 10) await continueAsNew<typeof child>(amount - 10);
  let approved = amount < 5;
  setHandler(approve, (answer) => void (approved = answer));
  await condition(() => approved);
  return `child ${amount}`;
}

/** Children in two steps and in one, of which some fail, a few at a time: who waits goes on in the order of the official SDK. */
export async function family(amount: number): Promise<string[]> {
  const told: string[] = [];
  const after = async (name: string, promise: Promise<unknown>): Promise<void> => {
    const result = await promise.catch((error: Error) => error.name);
    told.push(`${name}: ${result}`, await charge(told.length));
  };
  const [patient, quick] = await Promise.all([startChild(child, { args: [7] }), startChild(child, { args: [amount] })]);
  await Promise.all([
    after('quick', quick.result()),
    after('executed', executeChild(child, { args: [amount + 10] })),
    after('refused', executeChild('child', { args: [-1] })),
    after('taken', startChild(child, { args: [1], workflowId: patient.workflowId })),
    after('taken too', executeChild(child, { args: [1], workflowId: patient.workflowId })),
    after('charged', charge(amount)),
    after('slept', sleep(1)),
    after('signalled', patient.signal(approve, true)),
    after('patient', patient.result()),
  ]);
  let free = 3;
  const all = Array.from({ length: 10 }, async (_, number) => {
    await condition(() => free > 0);
    free--;
    try {
      return await executeChild(child, { args: [number % 4 === 3 ? -1 : number % 4] });
    } finally {
      free++;
    }
  });
  for (const { status } of await Promise.allSettled(all)) told.push(status);
  return told;
}

/** Children cancelled in each way: before their start was sent, and after they have started. */
export async function childCancellations(amount: number): Promise<string[]> {
  const told: string[] = [];
  for (const cancellationType of Object.values(ChildWorkflowCancellationType)) {
    for (const before of [0, 300]) {
      const scope = new CancellationScope();
      const options = { args: [7] as [number], cancellationType };
      const ended = scope.run(() => executeChild(child, options)).catch((error) => isCancellation(error));
      const started = scope.run(() => startChild(child, options)).then(({ result }) => result());
      const both = Promise.all([ended, started.catch((error) => isCancellation(error))]);
      if (before) await sleep(before);
      scope.cancel();
      told.push(`${cancellationType} ${before} ${await both} ${await charge(amount)}`);
    }
  }
  return told;
}

/** Messages to a child, by its handle and as to a stranger, and to nobody; one that is taken back before it was sent. */
export async function messages(amount: number): Promise<string[]> {
  const told: string[] = [];
  const fate = (sent: Promise<void>) => sent.then(() => 'delivered', (error: Error) => error.name);
  const patient = await startChild(child, { args: [7] });
  const stranger = getExternalWorkflowHandle(patient.workflowId, patient.firstExecutionRunId);
  const nobody = getExternalWorkflowHandle(uuid4());
  told.push(...(await Promise.all([patient.signal(approve, false), stranger.signal('approve', false)].map(fate))));
  told.push(...(await Promise.all([nobody.signal(approve, true), nobody.cancel(), charge(amount).then(() => undefined)].map(fate))));
  const scope = new CancellationScope();
  const taken = scope.run(() => fate(stranger.signal(approve, true)));
  scope.cancel();
  told.push(await taken, await fate(stranger.cancel()));
  told.push(await patient.result().catch((error) => String(isCancellation(error))));
  return told;
}
