/** Much the same as the programs of the README, which `tests/install` runs: the main program, and the test. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@durably/client';
import { TestWorkflowEnvironment } from '@durably/testing';
import { NativeConnection, Worker } from '@durably/worker';
import * as activities from '../activities';
import { ship } from './children';
import { cart, checkOut, put } from './updates';
import { greeting } from './workflows';

async function main(): Promise<string> {
  const connection = await NativeConnection.connect({ address: 'embedded:greetings.db' }); // or 'localhost:7233'
  const client = new Client({ connection });
  const worker = await Worker.create({
    connection,
    taskQueue: 'greetings',
    workflowsPath: require.resolve('./workflows'),
    activities,
  });
  const result = await worker.runUntil(
    client.workflow.execute(greeting, { args: ['Ann'], workflowId: 'greet-ann', taskQueue: 'greetings' }),
  );
  await connection.close();
  return result;
}

test('the first program runs', async (t) => {
  const before = process.cwd();
  const folder = await mkdtemp(join(tmpdir(), 'durably-'));
  process.chdir(folder);
  t.after(async () => {
    process.chdir(before);
    await rm(folder, { recursive: true });
  });
  assert.equal(await main(), 'Hello, Ann!');
});

test('a greeting takes its time', async (t) => {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    taskQueue: 'test',
    workflowsPath: require.resolve('./workflows'),
    activities: { greet: async (name: string) => `mocked ${name}` },
  });
  const options = { args: ['Bob'] as [string], workflowId: 'greet-bob', taskQueue: 'test' };
  assert.equal(await worker.runUntil(environment.client.workflow.execute(greeting, options)), 'mocked Bob');
});

test('an order has children', async (t) => {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  const worker = await Worker.create({
    connection: environment.nativeConnection,
    taskQueue: 'test',
    workflowsPath: require.resolve('./children'),
  });
  const options = { args: ['tea', [5, 0, 7]] as [string, number[]], workflowId: 'ship-tea', taskQueue: 'test' };
  const told = await worker.runUntil(environment.client.workflow.execute(ship, options));
  assert.equal(told, 'tea is on its way, 1 of 3 invoices failed');
});

test('a cart is filled', async (t) => {
  const environment = await TestWorkflowEnvironment.createTimeSkipping();
  t.after(() => environment.teardown());
  const { client, nativeConnection: connection } = environment;
  const workflowsPath = require.resolve('./updates');
  const activities = { reserve: async (item: string) => `${item}, reserved` };
  const worker = await Worker.create({ connection, taskQueue: 'test', workflowsPath, activities });
  await worker.runUntil(async () => {
    // snippet: client
    const handle = await client.workflow.start(cart, { workflowId: 'cart-ann', taskQueue: 'test' });
    assert.equal(await handle.executeUpdate(put, { args: ['tea'] }), 1);
    await assert.rejects(handle.executeUpdate(put, { args: [''] }), WorkflowUpdateFailedError);
    const sent = await handle.startUpdate(put, { args: ['milk'], updateId: 'order-7', waitForStage: 'ACCEPTED' });
    assert.equal(await sent.result(), 2); // or later, anywhere: handle.getUpdateHandle('order-7').result()

    // In one call: the update, and the start of the workflow if it doesn't run yet.
    const startWorkflowOperation = new WithStartWorkflowOperation(cart, {
      workflowId: 'cart-bob',
      taskQueue: 'test',
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
    assert.equal(await client.workflow.executeUpdateWithStart(put, { args: ['jam'], startWorkflowOperation }), 1);
    // end snippet
    await handle.signal(checkOut);
    assert.deepEqual(await handle.result(), ['tea, reserved', 'milk, reserved']);
    const other = await startWorkflowOperation.workflowHandle();
    await other.signal(checkOut);
    assert.deepEqual(await other.result(), ['jam, reserved']);
  });
});
