/** What goes wrong in workflow code is said with the line where it did, and takes nothing else with it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueryNotRegisteredError, WorkflowFailedError } from '@durably/client';
import { ActivityFailure, ApplicationFailure } from '@durably/common';
import { DeterminismViolationError, Worker, bundleWorkflowCode } from '@durably/worker';
import { type Env, logged, withWorker, workflowsPath } from './worker';

const activities = { echo: async (value: string) => value };

/** Starts a workflow whose task fails, and gives what its history says. */
async function taskFailure(env: Env, workflow: string): Promise<string> {
  const handle = await env.start(workflow);
  const failure = await env.taskFailure(handle);
  await handle.terminate();
  return failure;
}

test('a failed task names file and line of the source', async () => {
  await withWorker('errors', async (env) => {
    assert.match(await taskFailure(env, 'failsDeep'), /out of order[^]*deeper \(.*src\/workflows\/errors\.ts:15:/);
  });
});

test('a rejection that nobody handles fails the task', async () => {
  await withWorker('errors', async (env) => {
    assert.match(await taskFailure(env, 'forgetsRejection'), /Unhandled Promise rejection: nobody looks[^]*errors\.ts:19:/);
  });
});

test('a name that workflows lack comes with what to do instead', async () => {
  await withWorker('errors', async (env) => {
    assert.match(await taskFailure(env, 'fetches'), /fetch is not defined: workflows are deterministic .*call it in an activity/);
  });
});

test('a workflow type that the bundle lacks comes with those that it has', async () => {
  await withWorker('errors', async (env) => {
    assert.match(await taskFailure(env, 'nobody'), /workflow of type 'nobody'[^]*there are: .*failsDeep/);
  });
});

test('endless loops fail their task, and the worker goes on', async () => {
  await withWorker(
    'errors',
    async (env) => {
      assert.match(await taskFailure(env, 'spins'), /did not yield for 0\.3 s/);
      assert.match(await taskFailure(env, 'spinsInMicrotasks'), /did not yield for 0\.3 s/);
      const [before, after] = await env.execute('dates');
      assert.ok(after > before);
    },
    { workflowThreadTimeout: '300ms' },
  );
});

test('wherever code does not yield its task fails, and other runs, activities and the client go on', async () => {
  await withWorker(
    'errors',
    async (env) => {
      const cached = await env.start('counts');
      await cached.signal('poke');
      for (const where of ['signal', 'condition', 'conditions', 'regular expression', 'failure']) {
        const handle = await env.start('spinsIn', [where]);
        await handle.signal('poke');
        assert.match(await env.taskFailure(handle), /did not yield for 0\.2 s/, where);
        await handle.terminate();
        assert.equal(await env.execute('changed', 1), 'ab');
      }
      const asked = await env.start('spinsIn', ['query']);
      await assert.rejects(asked.query('look'), /did not yield for 0\.2 s/);
      await asked.terminate();
      await cached.signal('poke');
      assert.equal(await cached.result(), 2);
    },
    { workflowThreadTimeout: '200ms', activities },
  );
});

test('code that does not yield is found the second time, with its stack', async () => {
  await withWorker(
    'errors',
    async (env) => {
      const handle = await env.start('spinsIn', ['query']);
      const stacks = () => logged.filter(({ meta }) => meta?.['workflowId'] === spinning.workflowId).map(({ meta }) => (meta!['error'] as Error).stack);
      await handle.terminate();
      const spinning = await env.start('spins');
      while (stacks().length < 2) await spinning.describe();
      assert.match(stacks()[1]!, /DeadlockError: Workflow code did not yield[^]*at spins.*errors\.ts:\d+/);
      await spinning.terminate();
    },
    { workflowThreadTimeout: '200ms' },
  );
});

test('queries only read', async () => {
  await withWorker('errors', async (env) => {
    const handle = await env.start('queried');
    await assert.rejects(handle.query('waits'), QueryNotRegisteredError);
    await assert.rejects(handle.query('starts'), /Query handlers only read/);
    await assert.rejects(handle.query('unknown'), /did not register a handler for unknown[^]*waits starts/);
    const { events } = await handle.fetchHistory();
    assert.equal(events?.some((event) => event.activityTaskScheduledEventAttributes), false);
    await handle.terminate();
  });
});

test('an unknown activity comes with those that there are', async () => {
  await withWorker(
    'errors',
    async (env) => {
      const handle = await env.start('changed', [1]);
      const { raw } = await eventuallyRetried(handle);
      assert.match(raw, /Activity function echo is not registered on this Worker, available activities: \[other\]/);
      await handle.terminate();
    },
    { activities: { other: async () => 1 } },
  );
});

async function eventuallyRetried(handle: Awaited<ReturnType<Env['start']>>): Promise<{ raw: string }> {
  for (;;) {
    const [pending] = (await handle.describe()).raw.pendingActivities ?? [];
    if (pending?.lastFailure) return { raw: String(pending.lastFailure.message) };
  }
}

test('code that differs from the history is found, with the line', async () => {
  const path = workflowsPath('errors');
  await withWorker(
    'errors',
    async (env) => {
      const handle = await env.start('changed', [1]);
      assert.equal(await handle.result(), 'ab');
      const history = await handle.fetchHistory();
      await Worker.runReplayHistory({ workflowsPath: path }, history, handle.workflowId);
      const argument = history.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
      argument!.data = Buffer.from('2');
      const replayed = Worker.runReplayHistory({ workflowsPath: path }, history, handle.workflowId);
      await assert.rejects(replayed, (error: Error) => {
        assert.ok(error instanceof DeterminismViolationError);
        assert.match(error.message, /history: ActivityTaskScheduled\(echo[^]*code:\s+TimerStarted\(.*at .*errors\.ts:\d+/);
        return true;
      });
    },
    { activities },
  );
});

test('scopes are those of the code that runs in them', async () => {
  await withWorker('errors', async (env) => {
    const expected = ['true', 'false', 'CancelledFailure', 'true', 'CancelledFailure'];
    assert.deepEqual(await env.execute('scopes'), expected);
  });
});

test('modules that are not deterministic are refused with the line that imports them', async () => {
  await assert.rejects(
    bundleWorkflowCode({ workflowsPath: workflowsPath('imports-node') }),
    /imports-node\.ts:3: workflow code imports 'node:fs', which is not deterministic: move what needs it to an activity/,
  );
  await assert.rejects(bundleWorkflowCode({ workflowsPath: './workflows' }), /must be an absolute path/);
});

test('what an activity throws reaches the client with type, details and cause', async () => {
  const failing = {
    echo: async () => {
      throw ApplicationFailure.create({
        message: 'no',
        type: 'Refused',
        nonRetryable: true,
        details: [{ why: 'x' }, null],
        cause: new RangeError('too far'),
      });
    },
  };
  await withWorker(
    'errors',
    async (env) => {
      const error = await env.execute('changed', 1).catch((error: unknown) => error);
      assert.ok(error instanceof WorkflowFailedError && error.cause instanceof ActivityFailure);
      const failure = error.cause.cause;
      assert.ok(failure instanceof ApplicationFailure);
      assert.deepEqual([failure.message, failure.type, failure.details], ['no', 'Refused', [{ why: 'x' }, null]]);
      assert.equal((failure.cause as Error).message, 'too far');
    },
    { activities: failing },
  );
});
