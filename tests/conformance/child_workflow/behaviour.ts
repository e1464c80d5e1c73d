/**
 * Child workflows: started by function and by name, awaited at once or in two steps, and all the ways in which they end.
 *
 * What each parent returns is the same in every language; so are the histories that it leaves.
 */

import { strict as assert } from 'node:assert';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { type Env, eventually, failure } from '../harness/harness';
import {
  ALREADY_STARTED,
  greets,
  inParallel,
  type Options,
  outcome,
  passesOn,
  relatives,
  send,
  started,
  tells,
  twice,
  twoSteps,
} from './workflows';

const STARTED_CHILD = ['START_CHILD_WORKFLOW_EXECUTION_INITIATED', 'CHILD_WORKFLOW_EXECUTION_STARTED'];
const DELIBERATE = [
  ['application', 'Deliberate', 'deliberate', [{ code: 7 }]],
  ['application', 'Root', 'the reason', []],
];

/** Event types of Temporal's API: the children's. */
const NAMES: Record<number, string> = {
  29: STARTED_CHILD[0]!,
  30: 'START_CHILD_WORKFLOW_EXECUTION_FAILED',
  31: STARTED_CHILD[1]!,
  32: 'CHILD_WORKFLOW_EXECUTION_COMPLETED',
  33: 'CHILD_WORKFLOW_EXECUTION_FAILED',
  34: 'CHILD_WORKFLOW_EXECUTION_CANCELED',
  35: 'CHILD_WORKFLOW_EXECUTION_TIMED_OUT',
  36: 'CHILD_WORKFLOW_EXECUTION_TERMINATED',
};

/** What the history says of children, in order. */
async function childrenIn(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map((event) => NAMES[Number(event.eventType)]).filter((name) => name !== undefined);
}

export async function check(env: Env): Promise<void> {
  /** Runs a parent of one child; its history must say that the child started, and ended like this. */
  async function told(ends: string, type: string, args: unknown[] = [], options: Options = {}): Promise<unknown> {
    const child = env.newId();
    const handle = await env.start(tells, type, child, args, options);
    const result = await handle.result();
    assert.deepEqual(await childrenIn(handle), [...STARTED_CHILD, `CHILD_WORKFLOW_EXECUTION_${ends}`], type);
    env.started.push(env.client.workflow.getHandle(child));
    return result;
  }

  assert.equal(await told('COMPLETED', 'greets', ['Ada']), 'hello Ada');
  assert.equal(await told('COMPLETED', 'countsDown', [3]), true);
  assert.equal(await told('COMPLETED', 'flaky', [3], { attempts: 5 }), 3);
  assert.deepEqual(await told('FAILED', 'flaky', [9], { attempts: 2 }), [
    ['child', 'flaky', 'MAXIMUM_ATTEMPTS_REACHED'],
    ['application', 'NotYet', 'attempt 2', []],
  ]);
  assert.deepEqual(await told('FAILED', 'fails'), [['child', 'fails', 'RETRY_POLICY_NOT_SET'], ...DELIBERATE]);
  assert.deepEqual(await told('FAILED', 'fails', [], { attempts: 3 }), [['child', 'fails', 'NON_RETRYABLE_FAILURE'], ...DELIBERATE]);
  // A grandchild: its failure arrives at the top, where it came through in between.
  assert.deepEqual(await told('FAILED', 'passesOn', [env.newId()]), [
    ['child', 'passesOn', 'RETRY_POLICY_NOT_SET'],
    ['child', 'fails', 'RETRY_POLICY_NOT_SET'],
    ...DELIBERATE,
  ]);
  assert.deepEqual(await told('TIMED_OUT', 'collects', [], { seconds: 1 }), [
    ['child', 'collects', 'RETRY_POLICY_NOT_SET'],
    ['timeout', 'START_TO_CLOSE'],
  ]);
  const { cause } = await failure((await env.start(passesOn, env.newId())).result(), WorkflowFailedError);
  assert.deepEqual(outcome(cause), [['child', 'fails', 'RETRY_POLICY_NOT_SET'], ...DELIBERATE]);

  await whoIsWhose(env);
  await optionsArrive(env);
  await endedFromOutside(env);
  await ids(env);

  // In two steps; what is pending can be seen in between.
  const child = env.newId();
  const handle = await env.start(twoSteps, child);
  await eventually('the child has started', async () => (await handle.query(started)) !== '');
  const { pendingChildren } = (await handle.describe()).raw;
  const [pending, ...others] = pendingChildren ?? [];
  assert.deepEqual([pending?.workflowId, pending?.workflowTypeName, others], [child, 'collects', []]);
  assert.equal(pending?.runId, await handle.query(started));
  assert.equal((await env.client.workflow.getHandle(child).describe()).runId, pending?.runId);
  await handle.signal(send);
  assert.equal(await handle.result(), 'one two three');
  assert.deepEqual((await handle.describe()).raw.pendingChildren ?? [], []);

  const parallel = await env.execute(inParallel, env.newId());
  assert.deepEqual(parallel, Array.from({ length: 12 }, (_, n) => (n % 4 === 3 ? 'failed' : `hello ${n}`)));
}

/** Who is whose child, asked of the child and of the server. */
async function whoIsWhose(env: Env): Promise<void> {
  const [child, grandchild] = [env.newId(), env.newId()];
  const parent = await env.start(tells, 'relatives', child, [], {});
  assert.deepEqual(await parent.result(), [parent.workflowId, parent.workflowId]);
  const top = await env.start(tells, 'tells', child, ['relatives', grandchild, [], {}], {});
  assert.deepEqual(await top.result(), [child, top.workflowId]);
  const info = (await env.client.workflow.getHandle(grandchild).describe()).raw.workflowExecutionInfo;
  assert.equal(info?.parentExecution?.workflowId, child);
  assert.deepEqual([info?.rootExecution?.workflowId, info?.rootExecution?.runId], [top.workflowId, top.firstExecutionRunId]);
  // Nobody's child is its own root.
  const [none, root] = await env.execute(relatives);
  assert.equal(none, '');
  assert.ok(root === '' || root === env.started.at(-1)?.workflowId, root);
}

/** What the parent gives arrives at the child. */
async function optionsArrive(env: Env): Promise<void> {
  let child = env.newId();
  let handle = await env.start(tells, 'greets', child, ['Ada'], { seconds: 77, attempts: 4, memo: { note: 'x' } });
  await handle.result();
  const described = await env.client.workflow.getHandle(child).describe();
  assert.deepEqual([described.memo, described.taskQueue], [{ note: 'x' }, env.taskQueue]);
  const [first] = (await env.client.workflow.getHandle(child).fetchHistory()).events ?? [];
  const begun = first?.workflowExecutionStartedEventAttributes;
  assert.deepEqual([Number(begun?.workflowRunTimeout?.seconds), begun?.retryPolicy?.maximumAttempts], [77, 4]);
  assert.equal(begun?.parentWorkflowExecution?.workflowId, handle.workflowId);
  assert.equal(begun?.parentWorkflowExecution?.runId, handle.firstExecutionRunId);
  const { events } = await handle.fetchHistory();
  const attributes = events?.find(({ eventType }) => Number(eventType) === 29)?.startChildWorkflowExecutionInitiatedEventAttributes;
  assert.deepEqual([attributes?.workflowId, attributes?.taskQueue?.name], [child, env.taskQueue]);
  // Nobody polls this queue: the child has started all the same, and ends with its parent.
  child = env.newId();
  const queue = `${env.taskQueue}-none`;
  handle = await env.start(tells, 'greets', child, ['Ada'], { queue });
  await eventually('the child is there', async () => {
    const found = await env.client.workflow.getHandle(child).describe().catch((error: Error) => {
      assert.equal(error.name, 'WorkflowNotFoundError', String(error));
    });
    return found?.taskQueue === queue;
  });
  await handle.terminate();
}

/** Somebody else terminates or cancels the child. */
async function endedFromOutside(env: Env): Promise<void> {
  for (const [ends, told] of [['TERMINATED', ['terminated']], ['CANCELED', ['cancelled']]] as const) {
    const child = env.newId();
    const handle = await env.start(tells, 'collects', child, [], {});
    await eventually('the child has started', async () => (await childrenIn(handle)).join() === STARTED_CHILD.join());
    const outside = env.client.workflow.getHandle(child);
    await (ends === 'TERMINATED' ? outside.terminate('enough') : outside.cancel());
    const [[kind, type], ...causes] = (await handle.result()) as [string[], ...unknown[]];
    assert.deepEqual([kind, type, causes], ['child', 'collects', [told]]);
    assert.equal((await childrenIn(handle)).at(-1), `CHILD_WORKFLOW_EXECUTION_${ends}`);
  }
}

/** An id that is taken. */
async function ids(env: Env): Promise<void> {
  const child = env.newId();
  const handle = await env.start(twice, child);
  assert.deepEqual(await handle.result(), [[[ALREADY_STARTED, child, greets.name]], 'it goes on']);
  assert.ok((await childrenIn(handle)).includes('START_CHILD_WORKFLOW_EXECUTION_FAILED'));
  // It is closed now: whether it may be used again, the parent says.
  assert.equal(await env.execute(tells, 'greets', child, ['Ada'], {}), 'hello Ada');
  for (const reuse of ['REJECT_DUPLICATE', 'ALLOW_DUPLICATE_FAILED_ONLY'] as const) {
    assert.deepEqual(await env.execute(tells, 'greets', child, ['Ada'], { reuse }), [[ALREADY_STARTED, child, 'greets']]);
  }
  // A parent can't be its own child.
  const own = env.newId();
  const alone = await env.startWith({ workflowId: own }, tells, 'greets', own, ['Ada'], {});
  assert.deepEqual(await alone.result(), [[ALREADY_STARTED, own, 'greets']]);
}

