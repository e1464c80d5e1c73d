/** What workflow code may import and call beside the SDK, and what it is told about the rest. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker, bundleWorkflowCode } from '@durably/worker';
import { WorkflowFailedError } from '@durably/client';
import type { ApplicationFailure } from '@durably/common';
import { stackTraceQuery, workflowMetadataQuery } from '@durably/workflow';
import { withWorker, workflowsPath } from './worker';

test('assert, util and url of Node.js are there', async () => {
  await withWorker('builtins', async (env) => {
    assert.deepEqual(await env.execute('asserts'), [
      'AssertionError: zero',
      'AssertionError: 1 strictEqual 2',
      'AssertionError: [ 1 ] deepEqual [ 2 ]',
      'AssertionError: Missing expected exception',
      'AssertionError: another',
    ]);
    assert.deepEqual(await env.execute('formats'), [
      '{ a: Map(1) { 1 => { b: [] } } }',
      'x is 5',
      '/b',
      'aborted',
      'AbortError: This operation was aborted',
    ]);
  });
});

test('packages find what they ask for when they are loaded, and leave nothing to other runs', async () => {
  await withWorker('builtins', async (env) => {
    const expected = ['production', 'nothing', true, true];
    assert.deepEqual(await env.execute('packages'), expected);
    assert.deepEqual(await env.execute('packages'), expected);
  });
});

test('values follow asynchronous code', async () => {
  await withWorker('builtins', async (env) => {
    assert.deepEqual(await env.execute('stores'), [null, 'a', 'b', null]);
  });
});

test('what is not there yet, and what is frozen, is called that', async () => {
  await withWorker('builtins', async (env) => {
    const handle = await env.start('adds');
    const message = /not extensible: what the runs of a worker share .* is frozen[^]*builtins\.ts:\d+/;
    assert.match(await env.taskFailure(handle), message);
    await handle.terminate();
    for (const name of ['workflowRandom', 'metricMeter', 'getRandomStream', 'patched', 'upsertMemo', 'proxyLocalActivities', 'upsertSearchAttributes']) {
      await assert.rejects(env.execute('calls', name), (error: WorkflowFailedError) => {
        const { message, type, nonRetryable, stack } = error.cause as ApplicationFailure;
        assert.equal(message, `${name} is not in this release of @durably/workflow; its README lists what is not there yet`);
        assert.deepEqual([type, nonRetryable], ['UnsupportedFeatureError', true]);
        assert.match(stack!, /calls.*builtins\.ts:\d+/);
        return true;
      });
    }
  });
});

test('what is not there yet fails workflows also when their module asks for it as it is made', async () => {
  await withWorker('asks-for-what-is-missing', async (env) => {
    await assert.rejects(env.execute('waits'), (error: WorkflowFailedError) => {
      assert.match((error.cause as ApplicationFailure).message, /^proxyLocalActivities is not in this release/);
      return true;
    });
  });
});

test('the queries that every workflow answers have definitions', async () => {
  await withWorker('builtins', async (env) => {
    const handle = await env.start('waits');
    assert.match(await handle.query(stackTraceQuery), /waits.*builtins\.ts:\d+/);
    assert.equal((await handle.query(workflowMetadataQuery)).definition?.type, 'waits');
    await handle.terminate();
  });
});

test('a bundle that cannot be made says through which imports, and one that is none says so', async () => {
  const refused = bundleWorkflowCode({ workflowsPath: workflowsPath('imports-deep') });
  await assert.rejects(refused, /imports-node\.ts:3: workflow code imports 'node:fs'[^]*imported by \S*imports-deep\.ts$/);
  const compiled = bundleWorkflowCode({ workflowsPath: require.resolve('./workflows/imports-deep') });
  await assert.rejects(compiled, /src\/workflows\/imports-node\.ts:3: workflow code imports 'node:fs'[^]*\n {4}import \{ readFileSync/);
  const missing = bundleWorkflowCode({ workflowsPath: workflowsPath('nowhere') });
  await assert.rejects(missing, /nowhere\.ts": pass the path of a module that is there/);
  const broken = Worker.create({ taskQueue: 'q', workflowBundle: { code: 'hello(' } });
  await assert.rejects(broken, /make it with bundleWorkflowCode/);
});
