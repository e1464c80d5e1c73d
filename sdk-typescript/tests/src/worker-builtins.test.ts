/** What workflow code may import and call beside the SDK, and what it is told about the rest. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker, bundleWorkflowCode } from '@durably/worker';
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
    for (const [workflow, message] of [
      ['patches', /patched is not a function: patched is not in this release of @durably\/workflow[^]*builtins\.ts:\d+/],
      ['adds', /not extensible: what the runs of a worker share .* is frozen[^]*builtins\.ts:\d+/],
    ] as const) {
      const handle = await env.start(workflow);
      assert.match(await env.taskFailure(handle), message);
      await handle.terminate();
    }
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
  const missing = bundleWorkflowCode({ workflowsPath: workflowsPath('nowhere') });
  await assert.rejects(missing, /nowhere\.ts": pass the path of a module that is there/);
  const broken = Worker.create({ taskQueue: 'q', workflowBundle: { code: 'hello(' } });
  await assert.rejects(broken, /make it with bundleWorkflowCode/);
});
