/** Workflows that signal and cancel others: delivered once, or refused with an error. Each history replays. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkflowHandle } from '@durably/client';
import { type Env, withWorker } from './worker';

async function withExternals(fn: (env: Env) => Promise<void>): Promise<void> {
  await withWorker('externals', async (env) => {
    await fn(env);
    await env.replayAll('externals');
  });
}

const ends = async (handle: WorkflowHandle): Promise<any> => (await handle.signal('end'), await handle.result());

test('a signal reaches another workflow, its newest run or the one that is meant', async () => {
  await withExternals(async (env) => {
    const listener = await env.start('listens', [], { workflowId: 'listener' });
    const { runId } = await listener.describe();
    for (const given of [undefined, runId]) {
      const told = await env.execute('speaks', 'listener', given);
      assert.deepEqual(told, ['listener', given, 'done: undefined', 'done: undefined'].map((one) => one ?? null));
    }
    const once = [['hello', 1], ['bye']];
    assert.deepEqual(await ends(listener), [...once, ...once]);
  });
});

test('a signal or cancellation for nobody is an error with the line of the call', async () => {
  await withExternals(async (env) => {
    const listener = await env.start('listens', [], { workflowId: 'gone' });
    const { runId } = await listener.describe();
    await ends(listener);
    const refused = /^failed: ApplicationFailure .*ExternalWorkflowExecution.* with its line$/;
    for (const to of [['nobody'], ['gone'], ['gone', runId], ['gone', '01234567-89ab-4def-8123-456789abcdef']]) {
      const [, , hello, bye] = await env.execute('speaks', ...to);
      assert.match(hello, refused);
      assert.match(bye, refused);
    }
    for (const told of await env.execute('talksToItself')) assert.match(told, refused);
    assert.match(await env.execute('asks', 'nobody'), refused);
    // It has ended: there is nothing left to cancel.
    assert.equal(await env.execute('asks', 'gone'), 'done: undefined');
  });
});

test('a cancellation reaches another workflow', async () => {
  await withExternals(async (env) => {
    for (const named of [false, true]) {
      const listener = await env.start('listens');
      const { runId } = await listener.describe();
      assert.equal(await env.execute('asks', listener.workflowId, named ? runId : undefined), 'done: undefined');
      await assert.rejects(listener.result(), { name: 'WorkflowFailedError' });
      assert.equal((await listener.describe()).status.name, 'CANCELLED');
    }
  });
});

test('each of many signals arrives once', async () => {
  await withExternals(async (env) => {
    const ids = ['a', 'b', 'c'];
    const listeners = await Promise.all(ids.map((workflowId) => env.start('listens', [], { workflowId })));
    await env.execute('broadcasts', ids, 20);
    for (const listener of listeners) {
      const numbers = ((await listener.result()) as [string, number][]).map(([, number]) => number);
      assert.deepEqual(numbers.sort((a, b) => a - b), Array.from({ length: 20 }, (_, number) => number));
    }
  });
});

test('a signal that is cancelled before it was sent never is', async () => {
  await withExternals(async (env) => {
    const listener = await env.start('listens');
    const [taken, late, asked, shielded] = await env.execute('takesBack', listener.workflowId);
    assert.match(taken, /^cancelled: CancelledFailure /);
    for (const one of [late, asked]) assert.match(one, /^cancelled: CancelledFailure .*scope cancelled/);
    assert.equal(shielded, 'done: undefined');
    assert.deepEqual(await ends(listener), [['shielded']]);
  });
});

test('a parent signals its child until that has ended', async () => {
  await withExternals(async (env) => {
    const [log, late] = await env.execute('speaksToItsChild');
    assert.deepEqual(log, [['from above', 7], ['by name']]);
    assert.match(late, /^failed: ApplicationFailure .*with its line$/);
  });
});
