/** What clients make of updates: requests, interceptors, and an error for each way in which the wait for one can end. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Client,
  WithStartWorkflowOperation,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
} from '@durably/client';
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from '@durably/common';
import { TestWorkflowEnvironment } from '@durably/testing';
import { Worker } from '@durably/worker';
import { embedded } from './hand';
import { add, counts, end } from './workflows/updates';
import { withWorker, workflowsPath } from './worker';

test('what no update can be is refused before it is sent', async (t) => {
  const { client } = await embedded(t);
  const handle = client.workflow.getHandle('w') as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const loose = client.workflow as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  await assert.rejects(handle['executeUpdate']!(add, 2), /Update add: its options must be an object, with the arguments as the array args/);
  await assert.rejects(handle['executeUpdate']!(add, { args: 2 }), /Update add: args must be an array/);
  await assert.rejects(handle['executeUpdate']!(''), /The name of an update must be a string that is not empty/);
  await assert.rejects(handle['startUpdate']!(undefined, {}), /The name of an update must be a string/);
  for (const waitForStage of ['ADMITTED', 'SOON']) {
    await assert.rejects(handle['startUpdate']!(add, { args: [1], waitForStage }), /Invalid waitForStage .*: expected one of ACCEPTED, COMPLETED/);
  }
  assert.throws(() => new WithStartWorkflowOperation(counts, { workflowId: 'w', taskQueue: 'q' } as never), /workflowIdConflictPolicy is required/);
  const options = { taskQueue: 'q', workflowIdConflictPolicy: 'FAIL' } as never;
  const startWorkflowOperation = new WithStartWorkflowOperation(counts, options);
  await assert.rejects(loose['executeUpdateWithStart']!(add, { args: [1], startWorkflowOperation }), /Missing WorkflowOptions.workflowId/);
  await assert.rejects(startWorkflowOperation.workflowHandle(), /Missing WorkflowOptions.workflowId/);
  await assert.rejects(loose['executeUpdateWithStart']!(add, { args: [1], startWorkflowOperation }), /has already been executed/);
});

test('a wait that ends says nothing of the update', async (t) => {
  const { client, connection, ...hand } = await embedded(t);
  await assert.rejects(client.workflow.getHandle('nobody').executeUpdate(add, { args: [1] }), WorkflowNotFoundError);
  await assert.rejects(client.workflow.getHandle('nobody').getUpdateHandle('u').result(), WorkflowNotFoundError);
  const handle = await client.workflow.start(counts, { workflowId: 'waits', taskQueue: hand.queue });
  const asked = () => handle.executeUpdate(add, { args: [1], updateId: 'u' });
  await assert.rejects(client.withDeadline(Date.now() + 300, asked), (error) => {
    assert.ok(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError && isGrpcDeadlineError(error));
    return true;
  });
  const controller = new AbortController();
  const given = client.withAbortSignal(controller.signal, asked);
  await handle.describe();
  controller.abort();
  await assert.rejects(given, (error) => {
    assert.ok(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError && isGrpcCancelledError(error));
    return true;
  });
  const startWorkflowOperation = new WithStartWorkflowOperation(counts, {
    workflowId: 'waits',
    taskQueue: hand.queue,
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  const both = () => client.workflow.executeUpdateWithStart(add, { args: [1], startWorkflowOperation });
  await assert.rejects(client.withDeadline(Date.now() + 300, both), WorkflowUpdateRPCTimeoutOrCancelledError);
  await connection.workflowService.terminateWorkflowExecution({ workflowExecution: { workflowId: 'waits' } });
});

test('interceptors see updates, and change them', async () => {
  await withWorker('updates', async (env) => {
    const seen: unknown[] = [];
    const interceptor = {
      startUpdate: async (input: any, next: any) => {
        seen.push([input.updateName, input.args, input.workflowExecution.workflowId, input.options, input.headers]);
        const output = await next({ ...input, args: [input.args[0] + 1] });
        seen.push([output.updateId, typeof output.workflowRunId]);
        return output;
      },
      startUpdateWithStart: async (input: any, next: any) => {
        seen.push([input.workflowType, input.workflowStartOptions.workflowId, input.updateName, input.updateArgs, input.updateOptions]);
        return await next({ ...input, updateArgs: [5] });
      },
    };
    const client = new Client({ connection: env.connection, interceptors: { workflow: [interceptor] }, identity: 'me' });
    const options = { workflowId: 'seen', taskQueue: env.taskQueue, workflowIdConflictPolicy: 'FAIL' } as const;
    const startWorkflowOperation = new WithStartWorkflowOperation(counts, options);
    assert.equal(await client.workflow.executeUpdateWithStart(add, { args: [1], updateId: 'a', startWorkflowOperation }), 5);
    const handle = await startWorkflowOperation.workflowHandle();
    assert.equal(await handle.executeUpdate(add, { args: [2], updateId: 'b' }), 8);
    assert.deepEqual(seen, [
      ['counts', 'seen', 'add', [1], { updateId: 'a' }],
      ['add', [2], 'seen', { updateId: 'b' }, {}],
      ['b', 'string'],
    ]);
    const { events } = await handle.fetchHistory();
    const accepted = (events ?? []).flatMap(({ workflowExecutionUpdateAcceptedEventAttributes: one }) => one?.acceptedRequest?.meta ?? []);
    assert.deepEqual(accepted.map((meta) => ({ ...meta })), [{ updateId: 'a', identity: 'me' }, { updateId: 'b', identity: 'me' }]);
    await handle.signal(end);
    await handle.result();
  });
});

test('update-with-start refuses as a start does, and tells both who wait', async () => {
  await withWorker('updates', async (env) => {
    const { workflow } = env.client;
    const operation = (options: object = {}) =>
      new WithStartWorkflowOperation(counts, { workflowId: 'taken', taskQueue: env.taskQueue, workflowIdConflictPolicy: 'FAIL', ...options });
    const send = (startWorkflowOperation: WithStartWorkflowOperation<typeof counts>) =>
      workflow.executeUpdateWithStart(add, { args: [1], startWorkflowOperation });
    const first = operation();
    assert.equal(await send(first), 1);
    const second = operation();
    for (const call of [send(second), second.workflowHandle()]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof WorkflowExecutionAlreadyStartedError);
        assert.deepEqual([error.workflowId, error.workflowType], ['taken', 'counts']);
        return true;
      });
    }
    const third = operation({ startDelay: '1 second' });
    for (const call of [send(third), third.workflowHandle()]) {
      await assert.rejects(call, (error) => {
        assert.ok(isGrpcServiceError(error), String(error));
        assert.equal(error.code, 3);
        return true;
      });
    }
    await (await first.workflowHandle()).terminate();
  });
});

test('time skips while an update is awaited', async (t) => {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  const { nativeConnection: connection, client } = environment;
  const worker = await Worker.create({ connection, taskQueue: 'q', workflowsPath: workflowsPath('updates') });
  await worker.runUntil(async () => {
    const handle = await client.workflow.start('sleepsLong', { workflowId: 'long', taskQueue: 'q' });
    assert.equal(await handle.executeUpdate('sleep', { args: ['3 days'] }), 'slept');
    await handle.signal(end);
    await handle.result();
  });
});
