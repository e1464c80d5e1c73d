/** Objects of users are theirs, though what they inherit from is shared by all runs; and what is shared stays as it is. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { withWorker } from './worker';

const SHARED = ['get', 'then', 'resolve', 'iterator', 'next', 'length', 'regexp', 'random', 'run'];

test('whatever objects inherit, users can assign to those that are theirs', async () => {
  await withWorker('overrides', async (env) => {
    const [count, ...wrong] = (await env.execute('override')) as [number, ...string[]];
    assert.deepEqual(wrong, []);
    assert.ok(count > 30);
    assert.equal(await env.execute('thenable'), 'mine');
    assert.deepEqual(await env.execute('describes'), [true, [], 'get']);
  });
});

test('what is shared cannot be assigned, and the next run finds it as it was', async () => {
  await withWorker('overrides', async (env) => {
    for (const name of SHARED) {
      const handle = await env.start('assignsShared', [name]);
      assert.match(await env.taskFailure(handle), /Cannot assign to read only property.*what the runs of a worker share/);
      await handle.terminate();
      const [, ...wrong] = (await env.execute('override')) as [number, ...string[]];
      assert.deepEqual(wrong, [], `after an assignment to ${name}`);
    }
  });
});

test('what is shared cannot be defined in a way that nothing puts back', async () => {
  await withWorker('overrides', async (env) => {
    for (const name of SHARED) {
      assert.deepEqual(await env.execute('definesShared', name), [], name);
      const [, ...wrong] = (await env.execute('override')) as [number, ...string[]];
      assert.deepEqual(wrong, [], `after ${name} was defined`);
    }
  });
});

test('the engine keeps its fast paths for the whole process', async () => {
  setFlagsFromString('--allow-natives-syntax');
  const intact = () =>
    ['ArraySpecies', 'ArrayIterator', 'MapIterator', 'SetIterator', 'StringIterator'].filter(
      (name) => new Function(`return %${name}Protector()`)() as boolean,
    );
  const before = intact();
  await withWorker('greeting', async () => assert.deepEqual(intact(), before));
});
