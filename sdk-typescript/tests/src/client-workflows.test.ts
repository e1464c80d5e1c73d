/** Workflows from the client's side: starts, handles, results, lists. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  ApplicationFailure,
  CancelledFailure,
  Client,
  Connection,
  QueryNotRegisteredError,
  QueryRejectedError,
  ServiceError,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowContinuedAsNewError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
  WorkflowNotFoundError,
  isGrpcServiceError,
} from '@durably/client';
import {
  type QueryDefinition,
  type SignalDefinition,
  TypedSearchAttributes,
  defineSearchAttributeKey,
} from '@durably/common';
import { historyFromJSON } from '@durably/common/lib/proto-utils';
import { History } from '@durably/proto';
import { all, commands, embedded, payloads } from './hand';

/** What awaiting the handle's result throws. */
async function failureOf(handle: WorkflowHandle): Promise<WorkflowFailedError> {
  const error = await handle.result().catch((error: unknown) => error);
  assert.ok(error instanceof WorkflowFailedError, String(error));
  return error;
}

test('a workflow is started with all of its options, and described with them', async (t) => {
  const hand = await embedded(t);
  const area = defineSearchAttributeKey('Area', 'KEYWORD');
  const days = defineSearchAttributeKey('Days', 'KEYWORD_LIST');
  const due = defineSearchAttributeKey('Due', 'DATETIME');
  const handle = await hand.client.workflow.start('order', {
    ...hand.options(),
    args: [{ id: 7 }, 'now'],
    memo: { note: ['a', { b: null }] },
    searchAttributes: { Rank: [3] },
    typedSearchAttributes: [
      { key: area, value: 'north' },
      { key: days, value: ['mon', 'tue'] },
      { key: due, value: new Date(0) },
    ],
    staticSummary: 'An order',
    staticDetails: 'of 7',
    workflowExecutionTimeout: '1 hour',
    workflowRunTimeout: '30 minutes',
    workflowTaskTimeout: 5000,
    startDelay: '10 minutes',
    retry: { maximumAttempts: 3, initialInterval: '2s' },
    priority: { priorityKey: 2 },
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
  });
  const described = await handle.describe();
  assert.equal(described.type, 'order');
  assert.equal(described.workflowId, handle.workflowId);
  assert.equal(described.runId, handle.firstExecutionRunId);
  assert.equal(described.taskQueue, hand.queue);
  assert.deepEqual(described.status, { code: 1, name: 'RUNNING' });
  assert.deepEqual(described.memo, { note: ['a', { b: null }] });
  assert.equal(described.typedSearchAttributes.get(area), 'north');
  assert.deepEqual(described.typedSearchAttributes.get(days), ['mon', 'tue']);
  assert.deepEqual(described.typedSearchAttributes.get(due), new Date(0));
  assert.deepEqual(described.searchAttributes['Rank'], [3]);
  assert.deepEqual(described.searchAttributes['Due'], [new Date(0)]);
  assert.equal(await described.staticSummary(), 'An order');
  assert.equal(await described.staticDetails(), 'of 7');
  assert.equal(described.priority?.priorityKey, 2);
  assert.equal(described.executionTime!.getTime() - described.startTime.getTime(), 600_000);
  const [started] = (await handle.fetchHistory()).events!;
  const attributes = started!.workflowExecutionStartedEventAttributes!;
  assert.equal(attributes.workflowExecutionTimeout?.seconds, 3600);
  assert.equal(attributes.workflowRunTimeout?.seconds, 1800);
  assert.equal(attributes.workflowTaskTimeout?.seconds, 5);
  assert.equal(attributes.retryPolicy?.initialInterval?.seconds, 2);
  assert.deepEqual(
    attributes.input?.payloads?.map((payload) => Buffer.from(payload.data!).toString()),
    ['{"id":7}', '"now"'],
  );
});

test('what is missing or wrong in options is told before the server is asked', async (t) => {
  const { client, queue } = await embedded(t);
  const start = (options: object) => () => client.workflow.start('x', options as never);
  await assert.rejects(start({ taskQueue: queue }), /Missing WorkflowOptions.workflowId/);
  await assert.rejects(start({ workflowId: 'a' }), /Missing WorkflowOptions.taskQueue/);
  await assert.rejects(start({ workflowId: 'a', taskQueue: queue, workflowRunTimeout: 'soon' }), /Invalid duration "soon"/);
  await assert.rejects(start({ workflowId: 'a', taskQueue: queue, workflowIdReusePolicy: 'MAYBE' }), /MAYBE/);
  await assert.rejects(start({ workflowId: 'a', taskQueue: queue, retry: { maximumAttempts: -1 } }), /maximumAttempts/);
  assert.equal((await client.workflow.count()).count, 0);
});

test('a result comes back, also through continue-as-new', async (t) => {
  const hand = await embedded(t);
  const { client } = hand;
  async function sum(a: number, b: number): Promise<{ sum: number }> {
    return { sum: a + b };
  }
  const options = hand.options();
  const result = client.workflow.execute(sum, { ...options, args: [1, 2] });
  await hand.answer(commands.continueAsNew('sum', hand.queue));
  await hand.answer(commands.complete({ sum: 3 }));
  assert.deepEqual(await result, { sum: 3 });
  const runs = await all(client.workflow.list({ query: `WorkflowId = '${options.workflowId}'` }));
  const [first, last] = runs.sort((a, b) => a.startTime.getTime() - b.startTime.getTime());
  const alone = client.workflow.getHandle(options.workflowId, first!.runId, { followRuns: false });
  await assert.rejects(alone.result(), (error) => {
    assert.ok(error instanceof WorkflowContinuedAsNewError);
    assert.equal(error.newExecutionRunId, last!.runId);
    return true;
  });
  assert.deepEqual(await client.workflow.getHandle(options.workflowId, first!.runId).result(), { sum: 3 });
});

test('nothing is a result too', async (t) => {
  const hand = await embedded(t);
  const handle = await hand.client.workflow.start('x', hand.options());
  await hand.answer(commands.complete(undefined));
  assert.equal(await handle.result(), undefined);
});

test('a failed workflow throws what it failed by', async (t) => {
  const hand = await embedded(t);
  const handle = await hand.client.workflow.start('x', hand.options());
  const info = { type: 'OutOfStock', nonRetryable: true };
  const cause = { message: 'shelf is empty', applicationFailureInfo: { type: 'Shelf' } };
  await hand.answer(commands.fail({ message: 'no more', applicationFailureInfo: info, cause }));
  const error = await failureOf(handle);
  assert.equal(error.message, 'Workflow execution failed');
  assert.equal(error.retryState, 'RETRY_POLICY_NOT_SET');
  assert.ok(error.cause instanceof ApplicationFailure);
  assert.equal(error.cause.message, 'no more');
  assert.equal(error.cause.type, 'OutOfStock');
  assert.ok(error.cause.cause instanceof ApplicationFailure);
  assert.equal(error.cause.cause.message, 'shelf is empty');
});

test('a workflow is cancelled, and says with what it went', async (t) => {
  const hand = await embedded(t);
  const handle = await hand.client.workflow.start('x', hand.options());
  await handle.cancel();
  const { history } = await hand.answer(commands.cancel('cleaned up'));
  assert.ok(history!.events.some((event) => event.workflowExecutionCancelRequestedEventAttributes));
  const error = await failureOf(handle);
  assert.equal(error.message, 'Workflow execution cancelled');
  assert.ok(error.cause instanceof CancelledFailure);
  assert.deepEqual(error.cause.details, ['cleaned up']);
});

test('a workflow is terminated with a reason', async (t) => {
  const hand = await embedded(t);
  const handle = await hand.client.workflow.start('x', hand.options());
  await handle.terminate('enough');
  const error = await failureOf(handle);
  assert.ok(error.cause instanceof TerminatedFailure);
  assert.equal(error.cause.message, 'enough');
  assert.equal((await handle.describe()).status.name, 'TERMINATED');
  await assert.rejects(handle.terminate(), WorkflowNotFoundError);
});

test('a workflow times out', async (t) => {
  const hand = await embedded(t, { embedded: { timeSkipping: true } });
  const handle = await hand.client.workflow.start('x', { ...hand.options(), workflowRunTimeout: '1 day' });
  // Time doesn't skip while a task waits for a worker, but does while the result is awaited.
  await hand.answer();
  const error = await failureOf(handle);
  assert.equal(error.message, 'Workflow execution timed out');
  assert.ok(error.cause instanceof TimeoutFailure);
  assert.equal(error.cause.timeoutType, 'START_TO_CLOSE');
});

test('id policies decide about an id that is taken', async (t) => {
  const hand = await embedded(t);
  const { client } = hand;
  const options = hand.options('one');
  const first = await client.workflow.start('x', options);
  await assert.rejects(client.workflow.start('x', options), (error) => {
    assert.ok(error instanceof WorkflowExecutionAlreadyStartedError);
    assert.deepEqual([error.workflowId, error.workflowType], ['one', 'x']);
    return true;
  });
  const same = await client.workflow.start('x', { ...options, workflowIdConflictPolicy: 'USE_EXISTING' });
  assert.equal(same.firstExecutionRunId, first.firstExecutionRunId);
  const next = await client.workflow.start('x', { ...options, workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
  assert.notEqual(next.firstExecutionRunId, first.firstExecutionRunId);
  assert.ok((await failureOf(first)).cause instanceof TerminatedFailure);
  await next.terminate();
  await assert.rejects(
    client.workflow.start('x', { ...options, workflowIdReusePolicy: 'REJECT_DUPLICATE' }),
    WorkflowExecutionAlreadyStartedError,
  );
});

test('a signal reaches the workflow, and starts it if need be', async (t) => {
  const hand = await embedded(t);
  const approve: SignalDefinition<[string, number]> = { type: 'signal', name: 'approve' };
  const workflowId = randomUUID();
  const begin = () =>
    hand.client.workflow.signalWithStart('x', { ...hand.options(workflowId), signal: approve, signalArgs: ['Ann', 1] });
  const handle = await begin();
  assert.equal((await begin()).signaledRunId, handle.signaledRunId);
  await handle.signal(approve, 'Bob', 2);
  await handle.signal('plain');
  const { history } = await hand.answer(commands.complete('done'));
  const signals = history!.events.flatMap((event) => event.workflowExecutionSignaledEventAttributes ?? []);
  const text = signals.map(({ signalName, input }) =>
    [signalName, ...(input?.payloads ?? []).map((payload) => Buffer.from(payload.data).toString())].join(' '),
  );
  assert.deepEqual(text, ['approve "Ann" 1', 'approve "Ann" 1', 'approve "Bob" 2', 'plain']);
  assert.equal(await handle.result(), 'done');
  await assert.rejects(handle.signal('late'), WorkflowNotFoundError);
});

test('a query is answered, refused or rejected', async (t) => {
  const hand = await embedded(t, {}, { workflow: { queryRejectCondition: 'NOT_OPEN' } });
  const status: QueryDefinition<{ at: string }, [string]> = { type: 'query', name: 'status' };
  const handle = await hand.client.workflow.start('x', hand.options());
  await hand.answer();
  const asked = handle.query(status, 'short');
  const { query } = await hand.answerQuery({ result: { at: 'door' } });
  assert.equal(query!.queryType, 'status');
  assert.equal(Buffer.from(query!.queryArgs!.payloads[0]!.data).toString(), '"short"');
  assert.deepEqual(await asked, { at: 'door' });
  const unknown = handle.query('unknown');
  const refused = assert.rejects(unknown, (error) => {
    assert.ok(error instanceof QueryNotRegisteredError);
    assert.deepEqual([error.message, error.code], ['no handler for unknown', 3]);
    return true;
  });
  await hand.answerQuery({ error: 'no handler for unknown' });
  await refused;
  await handle.terminate();
  await assert.rejects(handle.query(status, 'x'), (error) => {
    assert.ok(error instanceof QueryRejectedError);
    assert.equal(error.status, 5);
    return true;
  });
});

test('what is not there yet says so where it is called', async (t) => {
  const { client } = await embedded(t);
  const loose = client as unknown as Record<string, any>;
  assert.throws(() => loose['schedule'].create({}), /client\.schedule\.create is not in this release of @durably\/client; its README/);
});

test('what is not there is named', async (t) => {
  const { client, connection } = await embedded(t);
  const nobody = client.workflow.getHandle('nobody', 'b9a8b5d0-3c7f-4a5e-8b9a-000000000000');
  for (const ask of ['result', 'describe', 'cancel', 'terminate', 'fetchHistory'] as const) {
    await assert.rejects(nobody[ask](), (error) => {
      assert.ok(error instanceof WorkflowNotFoundError, `${ask}: ${String(error)}`);
      assert.deepEqual([error.workflowId, error.runId], ['nobody', 'b9a8b5d0-3c7f-4a5e-8b9a-000000000000']);
      return true;
    });
  }
  const elsewhere = new Client({ connection, namespace: 'elsewhere' });
  await assert.rejects(elsewhere.workflow.start('x', { workflowId: 'a', taskQueue: 'q' }), /Namespace not found: 'elsewhere'/);
  await assert.rejects(all(client.workflow.list({ query: 'no such thing' })), (error) => {
    assert.ok(error instanceof ServiceError);
    assert.ok(isGrpcServiceError(error.cause));
    assert.equal(error.cause.code, 3);
    return true;
  });
});

test('lists come page by page, with their histories', async (t) => {
  const hand = await embedded(t);
  const { client } = hand;
  const ids = Array.from({ length: 7 }, (_, n) => `w-${n}`);
  for (const id of ids) await client.workflow.start(id < 'w-3' ? 'few' : 'many', hand.options(id));
  const pages: number[] = [];
  const service = hand.connection.workflowService;
  const { listWorkflowExecutions } = service;
  service.listWorkflowExecutions = async (request) => {
    const page = await listWorkflowExecutions(request);
    pages.push(page.executions.length);
    return page;
  };
  const listed = client.workflow.list({ pageSize: 3, query: "ExecutionStatus = 'Running'" });
  const found = (await all(listed)).map(({ workflowId }) => workflowId);
  assert.deepEqual(found.sort(), ids);
  assert.deepEqual(pages.slice(0, 3), [3, 3, 1]);
  const histories = await all(listed.intoHistories({ concurrency: 2 }));
  assert.deepEqual(histories.map(({ workflowId }) => workflowId).sort(), ids);
  for (const { history } of histories) assert.equal(history.events!.length, 2);
  for await (const first of listed.intoHistories({ concurrency: 3, bufferLimit: 1 })) {
    assert.ok(ids.includes(first.workflowId));
    break;
  }
  assert.deepEqual(await client.workflow.count("WorkflowType = 'few'"), { count: 3, groups: [] });
});

test('counts come in groups, as far as the server makes any', async (t) => {
  const hand = await embedded(t);
  const group = (count: number, status: string) => ({ count, groupValues: payloads(status).payloads! });
  const groups = [group(1, 'Terminated'), group(6, 'Running')];
  hand.connection.workflowService.countWorkflowExecutions = async () => ({ count: 7, groups }) as never;
  assert.deepEqual(await hand.client.workflow.count('GROUP BY ExecutionStatus'), {
    count: 7,
    groups: [
      { count: 1, groupValues: ['Terminated'] },
      { count: 6, groupValues: ['Running'] },
    ],
  });
});

test('a history that is kept as JSON is the same when it is read', async (t) => {
  const hand = await embedded(t);
  const options = { ...hand.options(), args: [{ a: 'ü' }], memo: { m: 1 }, workflowRunTimeout: 1500 };
  const handle = await hand.client.workflow.start('x', options);
  await handle.signal('s', 'value');
  await hand.answer(commands.complete('done'));
  const history = await handle.fetchHistory();
  const kept = JSON.stringify(history);
  assert.match(kept, /EVENT_TYPE_WORKFLOW_EXECUTION_STARTED/);
  const read = historyFromJSON(JSON.parse(kept));
  assert.deepEqual(History.encode(read), History.encode(history));
});

test('a handle is restricted to its run or its chain', async (t) => {
  const hand = await embedded(t);
  const { client } = hand;
  const options = hand.options();
  const first = await client.workflow.start('x', options);
  await first.terminate();
  const second = await client.workflow.start('x', options);
  const chain = client.workflow.getHandle(options.workflowId, undefined, {
    firstExecutionRunId: first.firstExecutionRunId,
  });
  await assert.rejects(chain.terminate());
  assert.equal((await client.workflow.getHandle(options.workflowId, first.firstExecutionRunId).describe()).status.name, 'TERMINATED');
  assert.equal((await client.workflow.getHandle(options.workflowId).describe()).runId, second.firstExecutionRunId);
});

test('clients of several namespaces share a connection', async (t) => {
  const hand = await embedded(t, { embedded: { namespaces: ['orders'] } });
  const orders = new Client({ connection: hand.connection, namespace: 'orders' });
  const handle = await orders.workflow.start('x', hand.options('one'));
  const task = await hand.task('orders');
  await hand.connection.workflowService.respondWorkflowTaskCompleted({
    namespace: 'orders',
    taskToken: task.taskToken,
    commands: [commands.complete('sold')],
  });
  assert.equal(await handle.result(), 'sold');
  await assert.rejects(hand.client.workflow.getHandle('one').describe(), WorkflowNotFoundError);
});

test('a state file outlives its server', async (t) => {
  const { mkdtemp, rm } = await import('node:fs/promises');
  const directory = await mkdtemp(`${process.env['TMPDIR'] ?? '/tmp'}/durably-`);
  t.after(() => rm(directory, { recursive: true }));
  const address = `embedded:${directory}/state.db`;
  const connection = await Connection.connect({ address });
  await new Client({ connection }).workflow.start('x', { workflowId: 'kept', taskQueue: 'q' });
  await connection.close();
  const again = await Connection.connect({ address });
  t.after(() => again.close());
  assert.equal((await new Client({ connection: again }).workflow.getHandle('kept').describe()).type, 'x');
});

test('typed search attributes are checked', () => {
  const days = defineSearchAttributeKey('Days', 'INT');
  assert.throws(() => new TypedSearchAttributes([{ key: days, value: 'two' as never }]), /Days/);
});
