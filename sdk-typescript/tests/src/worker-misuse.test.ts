/** The mistakes that users make: what they are told says what is wrong, where, and what to do. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { WorkflowFailedError } from '@durably/client';
import { ActivityFailure, ApplicationFailure } from '@durably/common';
import { type Env, logged, withWorker } from './worker';

const activities = {
  echo: async (value: unknown) => value,
  refuse: async () => {
    throw ApplicationFailure.nonRetryable('card declined', 'Declined');
  },
};

/** Expects what the workflow's first failed task says, in a word and the line of the source. */
const tasks: [workflow: string, message: RegExp, line: RegExp][] = [
  ['passesBigInt', /Activity echo: argument 1: .* BigInt \(property 'amount'\)/, /passesBigInt.*misuse\.ts:12:/],
  ['returnsCircular', /The result of workflow returnsCircular: .*circular structure.*'self'/, /$/],
  ['passesTooMuch', /the arguments of activity `echo` take 3\d{6} bytes; at most 2097152 .*pass a reference/, /$/],
  ['sleepsForNaN', /Invalid duration NaN: must be a finite number/, /sleepsForNaN.*misuse\.ts:22:/],
  ['sleepsInGerman', /Invalid duration "10 sekunden": .*'5 minutes'/, /sleepsInGerman.*misuse\.ts:26:/],
  ['waitsForTruth', /is not a function/, /waitsForTruth.*misuse\.ts:30:/],
  ['forgetsAwait', /Unhandled.*Activity task failed \(refuse\): card declined.*Await the promise/, /forgetsAwait.*misuse\.ts:34:/],
];

for (const [workflow, message, line] of tasks) {
  test(`${workflow}: the failed task says why, and where in the source`, async () => {
    await withWorker(
      'misuse',
      async (env) => {
        const handle = await env.start(workflow);
        const [first, ...stack] = (await env.taskFailure(handle)).split('\n');
        assert.match(first!, message);
        assert.match(stack.join('\n'), line);
        // Frames are the user's.
        assert.doesNotMatch(stack.join('\n'), /Array\.map|new Promise|step\.js|workflow-runtime/);
        await handle.terminate();
      },
      { activities },
    );
  });
}

/** What made the only activity of the workflow fail. */
async function activityFailure(env: Env, workflow: string): Promise<ApplicationFailure> {
  const error = await env.execute(workflow).catch((error: unknown) => error);
  assert.ok(error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure);
  const { cause } = error.cause;
  assert.ok(cause instanceof ApplicationFailure);
  return cause;
}

test('an activity whose name is misspelt comes with the names that there are', async () => {
  await withWorker(
    'misuse',
    async (env) => {
      const { message, type } = await activityFailure(env, 'callsMisspelt');
      assert.match(message, /misspelt is not registered on this Worker, available activities: \[echo, refuse\]/);
      assert.equal(type, 'NotFoundError');
    },
    { activities },
  );
});

test('an activity whose result, or whose details, are no JSON says so and stays what it is', async () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const results = { misspelt: async () => circle };
  await withWorker('misuse', async (env) => {
    const { message } = await activityFailure(env, 'callsMisspelt');
    assert.match(message, /The result of activity misspelt: .*circular structure/);
  }, { activities: results });
  const details = {
    misspelt: async () => {
      throw ApplicationFailure.nonRetryable('too much', 'TooMuch', circle);
    },
  };
  await withWorker('misuse', async (env) => {
    const { message, type, nonRetryable } = await activityFailure(env, 'callsMisspelt');
    assert.match(message, /too much \(its details could not be converted: .*circular structure/);
    assert.deepEqual([type, nonRetryable], ['TooMuch', true]);
  }, { activities: details });
});

test('what activities throw that is no error is told as far as it can be', async () => {
  for (const [thrown, message] of [[{ code: 3 }, '{"code":3}'], [{ message: 'no' }, 'no'], ['text', 'text'], [undefined, 'undefined']]) {
    const throwing = {
      misspelt: async () => {
        throw thrown;
      },
    };
    await withWorker('misuse', async (env) => {
      assert.equal((await activityFailure(env, 'callsMisspelt')).message, message);
    }, { activities: throwing });
  }
});

test('the stack of a failed activity says where the workflow called it', async () => {
  await withWorker(
    'misuse',
    async (env) => {
      const stack = await env.execute('rethrows');
      assert.match(stack, /^ActivityFailure: Activity task failed\n\s+at .*rethrows.*misuse\.ts:44:/);
    },
    { activities },
  );
});

test('queries answer at once, with what can be converted', async () => {
  await withWorker('misuse', async (env) => {
    const handle = await env.start('answersLater');
    await assert.rejects(handle.query('asks'), /should not return a Promise: the one of asks has to answer at once/);
    await assert.rejects(handle.query('tells'), /The answer to query tells: .*BigInt/);
    await handle.terminate();
  });
});

test('errors of users fail the workflow if they are listed', async () => {
  await withWorker(
    'misuse',
    async (env) => {
      const error = await env.execute('throwsOutOfStock').catch((error: unknown) => error);
      assert.ok(error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure);
      assert.deepEqual([error.cause.message, error.cause.type], ['none left', 'OutOfStock']);
      assert.match(error.cause.stack ?? '', /throwsOutOfStock.*misuse\.ts:\d+/);
    },
    { workflowFailureErrorTypes: { throwsOutOfStock: ['OutOfStock'] } },
  );
});

test('a query that nobody answers says what may be missing, and starts say what their options lack', async () => {
  await withWorker('misuse', async ({ client }) => {
    const handle = await client.workflow.start('nothing', { workflowId: 'lonely', taskQueue: 'nobody' });
    const query = client.withDeadline(Date.now() + 50, () => handle.query('asks'));
    await assert.rejects(query, /is one running that polls the task queue of this workflow\?/);
    await handle.terminate();
    const start = (options: unknown) => client.workflow.start('nothing', options as never);
    await assert.rejects(start(undefined), /Missing WorkflowOptions: workflowId and taskQueue/);
    await assert.rejects(start({ workflowId: 'a', taskQueue: 'q', args: 'Ann' }), /args must be an array/);
  });
});

test('what workflows log arrives as objects of this realm, with the user lines of errors', async () => {
  await withWorker('misuse', async (env) => {
    const handle = await env.start('logsThings');
    await handle.result();
    const { meta } = logged.find((entry) => entry.message === 'things' && entry.meta?.['workflowId'] === handle.workflowId)!;
    const { circle, error, when, names } = meta as Record<string, any>;
    assert.equal(circle.self, circle);
    assert.deepEqual({ ...circle, self: 0 }, { point: { x: 1 }, call: '[Function: named]', big: 1n, self: 0 });
    assert.ok(when instanceof Date && names instanceof Map && error instanceof TypeError);
    assert.match(inspect(error), /^TypeError: inner\n\s+at .*logsThings.*misuse\.ts:\d+:\d+\) \{\n\s+\[cause\]: RangeError: cause/);
  });
});

test('a task that fails is logged once, with what to do, whether code or core failed it', async () => {
  const about = (workflowId: string) => logged.filter(({ meta }) => meta?.['workflowId'] === workflowId);
  await withWorker(
    'misuse',
    async (env) => {
      const thrower = await env.start('throwsOutOfStock');
      await env.taskFailure(thrower);
      const [first] = about(thrower.workflowId);
      assert.match(first!.message, /tried again; to fail the workflow instead, throw an ApplicationFailure/);
      await thrower.terminate();
      const differing = await env.start('looksAtReplay');
      await env.taskFailure(differing);
      while (about(differing.workflowId).length === 0) await env.client.workflow.count();
      const [found] = about(differing.workflowId);
      assert.equal((found!.meta!['error'] as Error).name, 'DeterminismViolationError');
      assert.match(inspect(found!.meta!['error']), /history: ActivityTaskScheduled\(echo[^]*code: {4}TimerStarted.*misuse\.ts:\d+/);
      await differing.terminate();
    },
    { activities, maxCachedWorkflows: 0 },
  );
});
