/** Children: how they start, what their parents hear of them, and who cancels whom. Each history replays. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApplicationFailure, CancelledFailure, ChildWorkflowFailure } from '@durably/common';
import { Client, type WorkflowHandle, WorkflowFailedError } from '@durably/client';
import { Worker } from '@durably/worker';
import { type Env, withWorker, workflowsPath } from './worker';

const activities = { work: async (order: string) => order };

/** Runs the function beside a worker, and then replays the history of every run. */
async function withChildren(fn: (env: Env) => Promise<void>, options: Parameters<typeof withWorker>[2] = {}): Promise<void> {
  await withWorker(
    'children',
    async (env) => {
      await fn(env);
      await env.replayAll('children', { workflowFailureErrorTypes: options.workflowFailureErrorTypes });
    },
    { activities, ...options },
  );
}

async function statusOf(handle: WorkflowHandle): Promise<string> {
  await handle.result().catch(() => undefined);
  return (await handle.describe()).status.name;
}

/** Until the query's answer has the word. */
async function saw(handle: WorkflowHandle, word: string): Promise<void> {
  while (!(await handle.query<string[]>('seen')).some((line) => line.startsWith(word))) continue;
}

async function childOf(env: Env, handle: WorkflowHandle): Promise<WorkflowHandle> {
  for (;;) {
    const [pending] = (await handle.describe()).raw.pendingChildren ?? [];
    if (pending?.runId) return env.client.workflow.getHandle(pending.workflowId!);
  }
}

async function failureOf(handle: WorkflowHandle): Promise<Error> {
  const error = await handle.result().then(
    (result) => assert.fail(`it returned ${JSON.stringify(result)}`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof WorkflowFailedError && error.cause);
  return error.cause;
}

test('two hundred children, ten at a time, of which some fail', async () => {
  await withChildren(async (env) => {
    assert.deepEqual(await env.execute('batch', 200, 10), { succeeded: 180, failed: 20, most: 10 });
  });
});

test('a child on another queue, with a codec, by name', async () => {
  const key = 42;
  const turn = async (payloads: any[]) => payloads.map((one) => ({ ...one, data: one.data?.map((byte: number) => byte ^ key) }));
  const dataConverter = { payloadCodecs: [{ encode: turn, decode: turn }] };
  await withWorker(
    'children',
    async (env) => {
      const taskQueue = `${env.taskQueue}-elsewhere`;
      const other = await Worker.create({
        connection: env.connection,
        taskQueue,
        workflowsPath: workflowsPath('elsewhere'),
        dataConverter,
      });
      await other.runUntil(async () => {
        const client = new Client({ connection: env.connection, dataConverter });
        const options = { workflowId: 'parent', taskQueue: env.taskQueue, args: [taskQueue] };
        assert.deepEqual(await client.workflow.execute('elsewhere', options), ['a', 2, 'parent/child', 'parent', taskQueue]);
      });
    },
    { dataConverter },
  );
});

test('a failure passes through generations and says where it was, and everybody knows their relatives', async () => {
  await withChildren(async (env) => {
    const error = await failureOf(await env.start('generations', [3], { workflowId: 'top' }));
    const ids: string[] = [];
    let cause: Error | undefined = error;
    for (; cause instanceof ChildWorkflowFailure; cause = cause.cause) ids.push(cause.execution.workflowId);
    assert.deepEqual(ids, ['top-2', 'top-2-1', 'top-2-1-0']);
    assert.ok(cause instanceof ApplicationFailure);
    assert.deepEqual([cause.message, cause.type], ['the last one', 'Last']);
    const relatives = await (await env.start('relatives', [2], { workflowId: 'r' })).result();
    assert.deepEqual(relatives, [
      [null, null, null, null, null],
      ['r', 'default', 36, 'r', 36],
      ['r-1', 'default', 36, 'r', 36],
    ]);
  });
});

test('a parent hears how its child failed, with the line of its call', async () => {
  await withChildren(async (env) => {
    const handle = await env.start('hearsOfFailures', [], { workflowId: 'p' });
    const told = (await handle.result()) as unknown[][];
    const of = (type: string, named: string, state: string, cause: string, why: string) => [
      'Child Workflow execution failed', 'default', `p-${type}`, 36, named, state, cause, why,
    ];
    const [, nobody] = told;
    assert.deepEqual(told.map((one) => one.slice(0, -1)), [
      of('fails', 'fails', 'RETRY_POLICY_NOT_SET', 'ApplicationFailure', 'on purpose'),
      of('nobody', 'waits', 'RETRY_POLICY_NOT_SET', 'TimeoutFailure', String(nobody![7])),
      of('ranOut', 'ranOut', 'RETRY_POLICY_NOT_SET', 'ApplicationFailure', 'ran out'),
    ]);
    for (const one of told) assert.match(String(one.at(-1)), /hearsOfFailures.*children\.ts:\d+/);
    const error = await failureOf(await env.start('passesOn'));
    assert.ok(error instanceof ChildWorkflowFailure && error.cause instanceof ApplicationFailure);
    assert.deepEqual([error.workflowType, error.retryState], ['fails', 'RETRY_POLICY_NOT_SET']);
    assert.deepEqual([error.cause.type, error.cause.nonRetryable, error.cause.details], ['Deliberate', true, [{ code: 7 }]]);
    assert.deepEqual(error.cause.cause?.message, 'too far');
    assert.match(error.cause.stack ?? '', /fails.*children\.ts:\d+/);
  });
});

test('a child that continues as new and is retried reports once, from its last run', async () => {
  await withChildren(async (env) => {
    const handle = await env.start('hearsOnce');
    const last = 'attempt 3, the first run: false';
    assert.deepEqual(await handle.result(), ['36', last, last]);
    const { events } = await handle.fetchHistory();
    assert.equal(events?.filter((event) => event.childWorkflowExecutionCompletedEventAttributes).length, 1);
  });
});

test('an id that is taken is an error of its own, which fails the workflow unless it is caught', async () => {
  await withChildren(async (env) => {
    const log = await env.execute('takesTwice');
    const [executed, started, told, line, result] = log;
    assert.deepEqual([executed, started], Array(2).fill('failed: WorkflowExecutionAlreadyStartedError'));
    assert.deepEqual([told, line, result], ['true greets Workflow execution already started', 'with its line', 'told']);
  });
  await withChildren(async (env) => {
    const { type, message, stack } = (await failureOf(await env.start('takesItsOwn'))) as ApplicationFailure;
    assert.deepEqual([type, message], ['WorkflowExecutionAlreadyStartedError', 'Workflow execution already started']);
    assert.match(stack ?? '', /takesItsOwn.*children\.ts:\d+/);
  });
});

test('a child that is cancelled is awaited as its cancellation type says', async () => {
  await withChildren(async (env) => {
    const cancelled = 'cancelled: ChildWorkflowFailure < CancelledFailure';
    for (const how of ['ABANDON', 'TRY_CANCEL', 'WAIT_CANCELLATION_REQUESTED', 'WAIT_CANCELLATION_COMPLETED']) {
      for (const declines of [false, true]) {
        const id = `${how}-${declines}`;
        const handle = await env.start('cancels', [`${id}-child`, how, declines], { workflowId: id });
        const child = env.client.workflow.getHandle(`${id}-child`);
        await saw(handle, 'started');
        await handle.signal('go');
        const waits = how.startsWith('WAIT');
        if (how !== 'ABANDON') await saw(child, 'cancelled');
        if (!waits) await saw(handle, 'cancelled');
        assert.equal((await handle.query<string[]>('seen')).length, waits ? 1 : 2, id);
        await child.signal('go');
        await child.result().catch(() => undefined);
        await handle.signal('go');
        const ends = !waits || !declines ? cancelled : 'done: "declined"';
        assert.deepEqual(await handle.result(), ['started', ends], id);
        const status = how === 'ABANDON' || declines ? 'COMPLETED' : 'CANCELLED';
        assert.equal((await child.describe()).status.name, status, id);
      }
    }
  });
});

test('a child that is cancelled before its start was sent never starts', async () => {
  await withChildren(async (env) => {
    const log = (await env.execute('cancelsEarly')) as string[];
    const early = 'cancelled: ChildWorkflowFailure < CancelledFailure';
    assert.deepEqual(log, Array(3).fill([early, early, 'cancelled: CancelledFailure']).flat());
    const runs: string[] = [];
    for await (const { type } of env.client.workflow.list()) runs.push(type);
    assert.deepEqual(runs, ['cancelsEarly']);
  });
});

test('a child that is cancelled around its start ends, and is heard of once', async () => {
  await withChildren(async (env) => {
    for (const how of ['TRY_CANCEL', 'WAIT_CANCELLATION_COMPLETED']) {
      const handle = await env.client.workflow.signalWithStart('cancelsBetween', {
        workflowId: how, taskQueue: env.taskQueue, args: [how], signal: 'go',
      });
      assert.deepEqual(await handle.result(), ['cancelled: ChildWorkflowFailure < CancelledFailure']);
    }
  });
});

test('a shield keeps a cancellation from a child and from signals', async () => {
  await withChildren(async (env) => {
    const handle = await env.start('shields');
    const child = await childOf(env, handle);
    await handle.cancel();
    assert.deepEqual(await handle.result(), ['cancelled: CancelledFailure', 'cancelled: CancelledFailure', 'done: "told"']);
    assert.equal(await statusOf(child), 'COMPLETED');
  });
});

test('a scope with a time-out cancels its child, and a cancelled parent is cancelled by its child', async () => {
  await withChildren(async (env) => {
    const cancelled = 'cancelled: ChildWorkflowFailure < CancelledFailure';
    assert.deepEqual(await env.execute('limits'), [cancelled, 'done: "hello Ada"']);
    const handle = await env.start('isCancelled');
    const child = await childOf(env, handle);
    await handle.cancel();
    assert.ok((await failureOf(handle)) instanceof CancelledFailure);
    assert.deepEqual([await statusOf(handle), await statusOf(child)], ['CANCELLED', 'CANCELLED']);
  });
});

test('what becomes of an unwatched child ends nothing, unless it was to be awaited', async () => {
  await withChildren(async (env) => {
    assert.equal(await env.execute('ignores', 'start'), 'unmoved');
  });
  await withWorker('children', async (env) => {
    const handle = await env.start('ignores', ['execute']);
    assert.match(await env.taskFailure(handle), /Unhandled Promise rejection: Child Workflow execution failed \(fails\): unheard/);
    await handle.terminate();
  });
});

test('a parent that ends terminates, asks or leaves its child', async () => {
  await withChildren(async (env) => {
    const ends = { TERMINATE: 'TERMINATED', REQUEST_CANCEL: 'COMPLETED', ABANDON: 'COMPLETED' };
    for (const [policy, status] of Object.entries(ends)) {
      const child = env.client.workflow.getHandle(await env.execute('abandons', policy));
      if (policy === 'REQUEST_CANCEL') await saw(child, 'cancelled');
      if (policy !== 'TERMINATE') await child.signal('go');
      if (policy !== 'TERMINATE') assert.equal(await child.result(), policy === 'ABANDON' ? 'told' : 'declined');
      assert.equal(await statusOf(child), status, policy);
    }
  });
});

test('a parent says where it waits for its child, and its queries start none', async () => {
  await withWorker('children', async (env) => {
    const stuck = await env.start('isStuck');
    await childOf(env, stuck);
    assert.match(await stuck.query('__stack_trace'), /isStuck.*children\.ts:\d+/);
    await stuck.terminate();
    const asked = await env.start('startsInQuery');
    await assert.rejects(asked.query('seen'), /Query handlers only read/);
    await asked.terminate();
  });
});

test('what waits for children goes on in the same order in each replay', async () => {
  await withChildren(async (env) => {
    const runs = await Promise.all(Array.from({ length: 5 }, () => env.start('turns')));
    for (const run of runs) assert.equal(((await run.result()) as string[]).length, 7);
  });
});
