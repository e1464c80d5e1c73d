/** What the compiler accepts and refuses of calls to the client. Compiled, never run. */

import {
  type Client,
  WithStartWorkflowOperation,
  type WorkflowHandleWithFirstExecutionRunId,
  type WorkflowUpdateHandle,
  WorkflowUpdateStage,
} from '@durably/client';
import { defineQuery, defineSignal, defineUpdate, setHandler } from '@durably/workflow';

const approve = defineSignal<[string, number]>('approve');
const stop = defineSignal('stop');
const status = defineQuery<{ at: string }>('status');
const count = defineQuery<number, [string]>('count');

async function order(_id: string, _urgent?: boolean): Promise<number> {
  return 1;
}

async function nothing(): Promise<void> {}

const ids = { workflowId: 'w', taskQueue: 'q' };

export async function starts({ workflow }: Client): Promise<void> {
  const handle: WorkflowHandleWithFirstExecutionRunId<typeof order> = await workflow.start(order, { ...ids, args: ['a'] });
  const result: number = await handle.result();
  const same: number = await workflow.execute(order, { ...ids, args: ['a', true], workflowRunTimeout: '2 days' });
  const none: void = await workflow.execute(nothing, ids);
  const untyped: unknown = await workflow.execute('by name', { ...ids, args: [1, 'two'] });
  void [result, same, none, untyped];
  // @ts-expect-error the argument is missing
  await workflow.start(order, ids);
  // @ts-expect-error the argument is no number
  await workflow.start(order, { ...ids, args: [1] });
  // @ts-expect-error there is no such argument
  await workflow.start(nothing, { ...ids, args: [1] });
  // @ts-expect-error the task queue is missing
  await workflow.start(nothing, { workflowId: 'w' });
  // @ts-expect-error it is no duration
  await workflow.start(nothing, { ...ids, workflowRunTimeout: 'soon' });
}

export async function signals({ workflow }: Client): Promise<void> {
  const handle = workflow.getHandle<typeof order>('w');
  await handle.signal(approve, 'Ann', 1);
  await handle.signal(stop);
  await handle.signal('by name', 1, 2);
  // @ts-expect-error an argument is missing
  await handle.signal(approve, 'Ann');
  // @ts-expect-error there is no such argument
  await handle.signal(stop, 1);
  await workflow.signalWithStart(order, { ...ids, args: ['a'], signal: approve, signalArgs: ['Ann', 1] });
  await workflow.signalWithStart(nothing, { ...ids, signal: stop });
  // @ts-expect-error the signal's arguments are missing
  await workflow.signalWithStart(order, { ...ids, args: ['a'], signal: approve });
}

export async function queries({ workflow }: Client): Promise<void> {
  const handle = workflow.getHandle('w');
  const { at }: { at: string } = await handle.query(status);
  const found: number = await handle.query(count, 'apples');
  const other = await handle.query<string, [number]>('by name', 1);
  void [at, found, other.length];
  // @ts-expect-error the argument is missing
  await handle.query(count);
  for await (const { workflowId, status: is } of workflow.list({ query: '' })) void [workflowId, is.name === 'RUNNING'];
}

const add = defineUpdate<number, [number]>('add');
const reset = defineUpdate<void>('reset');

export async function updates({ workflow }: Client): Promise<void> {
  const handle = workflow.getHandle('w');
  const sum: number = await handle.executeUpdate(add, { args: [1] });
  const none: void = await handle.executeUpdate(reset);
  const started: WorkflowUpdateHandle<number> = await handle.startUpdate(add, { args: [1], updateId: 'u', waitForStage: 'ACCEPTED' });
  await handle.startUpdate(reset, { waitForStage: WorkflowUpdateStage.ACCEPTED });
  const found: number = await handle.getUpdateHandle<number>('u', { workflowRunId: 'r' }).result();
  const untyped: unknown = await handle.executeUpdate('by name', { args: [1, 'two'] });
  void [sum, none, await started.result(), found, untyped];
  // @ts-expect-error the argument is missing
  await handle.executeUpdate(add);
  // @ts-expect-error the argument is no number
  await handle.executeUpdate(add, { args: ['1'] });
  // @ts-expect-error there is no such argument
  await handle.executeUpdate(reset, { args: [1] });
  // @ts-expect-error it must say until when it waits
  await handle.startUpdate(add, { args: [1] });
  // @ts-expect-error nobody can wait for that
  await handle.startUpdate(reset, { waitForStage: 'ADMITTED' });
  const startWorkflowOperation = new WithStartWorkflowOperation(order, { ...ids, args: ['a'], workflowIdConflictPolicy: 'FAIL' });
  const same: number = await workflow.executeUpdateWithStart(add, { args: [1], startWorkflowOperation });
  const other = await workflow.startUpdateWithStart(reset, { waitForStage: 'ACCEPTED', startWorkflowOperation });
  const result: number = await (await startWorkflowOperation.workflowHandle()).result();
  void [same, other.updateId, result];
  // @ts-expect-error what becomes of a workflow that runs already is missing
  new WithStartWorkflowOperation(order, { ...ids, args: ['a'] });
}

/** Handlers may leave arguments out that they don't need, and so may validators. */
export async function handles(): Promise<void> {
  setHandler(add, async (amount) => amount, { validator: () => {}, description: 'adds', unfinishedPolicy: 'ABANDON' });
  setHandler(add, (amount) => amount, { validator: (amount) => void amount.toFixed() });
  setHandler(reset, () => {});
  // @ts-expect-error its result is no number
  setHandler(add, async () => 'one');
  // @ts-expect-error signals have no validator
  setHandler(stop, () => {}, { validator: () => {} });
}
