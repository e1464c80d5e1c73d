/**
 * Updates change a run and answer: waited for by stage, asked for again by id, in order, and with anything inside.
 *
 * What they answer is the same in every language; the words of errors are each SDK's own.
 */

import { strict as assert } from 'node:assert';
import {
  type WorkflowHandle,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  WorkflowUpdateStage,
} from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, WorkflowNotFoundError } from '@temporalio/common';
import { type Env, failure } from '../harness/harness';
import {
  account,
  add,
  allDone,
  fail,
  failWithCancel,
  finish,
  note,
  nothing,
  takeTurn,
  waitTurn,
  who,
  withTwo,
  work,
} from './workflows';

// Event types of Temporal's API.
const [ACCEPTED, COMPLETED] = [41, 43];
const UNKNOWN_ID = 'no-such-update';
const waitForStage = WorkflowUpdateStage.ACCEPTED;

export const activities = {
  async double(number: number): Promise<number> {
    return 2 * number;
  },
};

export async function check(env: Env): Promise<void> {
  await checkAnswers(env);
  await checkStages(env);
  await checkOrder(env);
  await checkFailures(env);
  await checkEnds(env);
  await checkNobodyThere(env);
}

async function causeOf(call: Promise<unknown>): Promise<Error | undefined> {
  return (await failure(call, WorkflowUpdateFailedError)).cause;
}

async function application(call: Promise<unknown>): Promise<ApplicationFailure> {
  const cause = await causeOf(call);
  assert(cause instanceof ApplicationFailure, String(cause));
  return cause;
}

async function kinds(handle: WorkflowHandle): Promise<number[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map(({ eventType }) => eventType as number).filter((kind) => kind === ACCEPTED || kind === COMPLETED);
}

const times = <T>(count: number, values: T[]): T[] => Array.from({ length: count }, () => values).flat();

async function checkAnswers(env: Env): Promise<void> {
  const handle = await env.start(account);
  for (const [number, sum] of [[1, 1], [2, 3], [3, 6]] as const) {
    assert.equal(await handle.executeUpdate(add, { args: [number] }), sum);
  }
  assert.equal((await handle.executeUpdate(nothing)) ?? null, null);
  assert.deepEqual(await handle.executeUpdate(withTwo, { args: ['a', [1, 2]] }), [[1, 2], 'a']);
  assert.equal(await handle.executeUpdate('add', { args: [4] }), 10);
  // 2 * 5 + 1
  assert.equal(await handle.executeUpdate(work, { args: [5] }), 21);
  const named = await handle.executeUpdate(who, { updateId: 'by this id' });
  assert.deepEqual(named, ['by this id', 'who', 'by this id', 'who']);
  const made = await handle.startUpdate(who, { waitForStage });
  assert(made.updateId);
  assert.deepEqual((await made.result()).slice(0, 2), [made.updateId, 'who']);
  // What was signalled before is there when the update begins.
  await handle.signal(note, 'signalled');
  await handle.executeUpdate(add, { args: [0] });
  const done = ['add 1', 'add 2', 'add 3', 'nothing', 'add 4', 'add 11', 'signalled', 'add 0'];
  assert.deepEqual(await handle.query(allDone), done);
  await handle.signal(finish, 'now');
  assert.equal(await handle.result(), 21);
  assert.deepEqual(await kinds(handle), times(10, [ACCEPTED, COMPLETED]));
}

/** An update that is accepted and not completed; by its id others get the same answer. */
async function checkStages(env: Env): Promise<void> {
  const handle = await env.start(account);
  const options = { args: ['Ann'] as [string], updateId: 'ann', waitForStage };
  const first = await handle.startUpdate(waitTurn, options);
  assert.deepEqual([first.updateId, first.workflowId, first.workflowRunId], ['ann', handle.workflowId, handle.firstExecutionRunId]);
  const again = await handle.startUpdate(waitTurn, options);
  const elsewhere = env.client.workflow.getHandle(handle.workflowId).getUpdateHandle<string>('ann');
  const results = [first, again, elsewhere].map((each) => each.result());
  const executing = handle.executeUpdate(waitTurn, { args: ['Ann'], updateId: 'ann' });
  assert.deepEqual(await handle.query(allDone), ['begin Ann']);
  await handle.signal(takeTurn, 'Ann');
  assert.deepEqual(await Promise.all([...results, executing]), times(4, ["it was Ann's turn"]));
  // Also long after, with other arguments, under another name, and when the run is closed.
  assert.equal(await handle.executeUpdate(waitTurn, { args: ['Bob'], updateId: 'ann' }), "it was Ann's turn");
  assert.equal(await handle.executeUpdate('no such handler', { updateId: 'ann' }), "it was Ann's turn");
  assert.deepEqual(await handle.query(allDone), ['begin Ann', 'end Ann']);
  assert.deepEqual(await kinds(handle), [ACCEPTED, COMPLETED]);
  await handle.signal(finish, 'now');
  assert.equal(await handle.result(), 0);
  assert.equal(await elsewhere.result(), "it was Ann's turn");
  assert.equal(await env.client.workflow.getHandle(handle.workflowId).getUpdateHandle('ann').result(), "it was Ann's turn");
  await failure(handle.getUpdateHandle(UNKNOWN_ID).result(), WorkflowNotFoundError);
}

/** Several under way: they begin in the order in which they were accepted, and each ends when it can. */
async function checkOrder(env: Env): Promise<void> {
  const handle = await env.start(account);
  const names = ['a', 'b', 'c', 'd', 'e'];
  const updates = [];
  for (const name of names) updates.push(await handle.startUpdate(waitTurn, { args: [name], waitForStage }));
  for (const name of [...names].reverse()) await handle.signal(takeTurn, name);
  const answers = await Promise.all(updates.map((update) => update.result()));
  assert.deepEqual(answers, names.map((name) => `it was ${name}'s turn`));
  const done = await handle.query(allDone);
  assert.deepEqual(done.slice(0, 5), names.map((name) => `begin ${name}`));
  assert.deepEqual(done.slice(5).sort(), names.map((name) => `end ${name}`));
  // At once: as many answers as there are updates, and nothing lost or done twice.
  const sums = await Promise.all(Array.from({ length: 10 }, () => handle.executeUpdate(add, { args: [1] })));
  assert.deepEqual(sums.sort((a, b) => a - b), Array.from({ length: 10 }, (_, index) => index + 1));
  await handle.signal(finish, 'now');
  assert.equal(await handle.result(), 10);
}

/** A handler that fails: its caller is told, and the run goes on. */
async function checkFailures(env: Env): Promise<void> {
  const handle = await env.start(account);
  for (const late of [false, true]) {
    const updateId = `fails ${late}`;
    const { message, type, details } = await application(handle.executeUpdate(fail, { args: [late], updateId }));
    assert.deepEqual([message, type, details], ['no money', 'Poor', ['a detail']]);
    assert.equal((await application(handle.getUpdateHandle(updateId).result())).type, 'Poor');
  }
  assert((await causeOf(handle.executeUpdate(failWithCancel))) instanceof CancelledFailure);
  assert.deepEqual(await kinds(handle), times(3, [ACCEPTED, COMPLETED]));
  // Nobody handles it: refused, and nothing in the history.
  assert.match((await application(handle.executeUpdate('no such handler', { args: [1] }))).message, /no such handler/);
  assert.deepEqual(await kinds(handle), times(3, [ACCEPTED, COMPLETED]));
  assert.equal(await handle.executeUpdate(add, { args: [1] }), 1);
  await handle.signal(finish, 'now');
  assert.equal(await handle.result(), 1);
}

/** What becomes of an update whose run ends before it. */
async function checkEnds(env: Env): Promise<void> {
  for (const how of ['now', 'next', 'terminated']) {
    const handle = await env.start(account);
    const update = await handle.startUpdate(waitTurn, { args: ['nobody'], updateId: 'early', waitForStage });
    const waiting = application(update.result());
    if (how === 'terminated') await handle.terminate();
    else await handle.signal(finish, how);
    const { type, nonRetryable } = await waiting;
    assert.deepEqual([type, nonRetryable], ['AcceptedUpdateCompletedWorkflow', true]);
    const again = handle.getUpdateHandle('early', { workflowRunId: handle.firstExecutionRunId });
    assert.equal((await application(again.result())).type, type);
    if (how === 'next') {
      // The next run knows nothing of it, and has updates of its own.
      const newest = env.client.workflow.getHandle<typeof account>(handle.workflowId);
      assert.equal(await newest.executeUpdate(add, { args: [5], updateId: 'early' }), 5);
      await newest.signal(finish, 'now');
      assert.equal(await newest.result(), 5);
    }
  }
  // A run that waits for its handlers.
  const handle = await env.start(account);
  const update = await handle.startUpdate(waitTurn, { args: ['Ann'], waitForStage });
  await handle.signal(finish, 'patiently');
  assert.deepEqual(await handle.query(allDone), ['begin Ann']);
  await handle.signal(takeTurn, 'Ann');
  assert.equal(await update.result(), "it was Ann's turn");
  assert.equal(await handle.result(), 0);
}

/** Closed and missing runs, and one for which no worker polls. */
async function checkNobodyThere(env: Env): Promise<void> {
  const { workflow, connection } = env.client;
  const handle = await env.start(account);
  await handle.signal(finish, 'now');
  await handle.result();
  await failure(handle.executeUpdate(add, { args: [1] }), WorkflowNotFoundError);
  const missing = workflow.getHandle(env.newId());
  await failure(missing.executeUpdate(add, { args: [1] }), WorkflowNotFoundError);
  await failure(missing.getUpdateHandle(UNKNOWN_ID).result(), WorkflowNotFoundError);
  const alone = await workflow.start(account, { workflowId: env.newId(), taskQueue: `${env.taskQueue}-nobody` });
  const asked = () => alone.executeUpdate(add, { args: [1] });
  await failure(connection.withDeadline(Date.now() + 1000, asked), WorkflowUpdateRPCTimeoutOrCancelledError);
  await failure(connection.withAbortSignal(AbortSignal.timeout(1000), asked), WorkflowUpdateRPCTimeoutOrCancelledError);
  await alone.terminate();
}
