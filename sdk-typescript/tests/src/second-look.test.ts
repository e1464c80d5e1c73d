/** Where a test waits, code that doesn't yield is told of soon, and with its line. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestWorkflowEnvironment } from '@durably/testing';
import { Worker } from '@durably/worker';
import { SecondLook } from '@durably/worker/lib/workflow/second-look';

const millis = (n: number): NodeJS.CpuUsage => ({ user: n * 1000, system: 0 });
const activation = (...jobs: object[]): any => ({ runId: 'r', jobs });

test('a step that lasts is done again, and judged by what the process had', () => {
  const look = new SecondLook(500);
  const [first, second] = [activation({ initialize: {} }), activation({ fireTimer: {} })];
  assert.deepEqual(look.begin(first), { earlier: [], sampled: false, timeout: 200 });
  const trial = look.begin(second);
  assert.deepEqual(look.after(second, trial, millis(200), false), { earlier: [first], sampled: true, timeout: 500 });
  const again = { earlier: [first], sampled: true, timeout: 500 };
  assert.equal(look.after(second, again, millis(400), true), undefined, 'it had its time');
  assert.deepEqual(look.after(second, again, millis(400), false), { ...again, timeout: 1000 }, 'its line is not known');
  assert.deepEqual(look.after(second, again, millis(125), true), { ...again, timeout: 2000 }, 'it had a quarter');
  assert.deepEqual(look.after(second, again, millis(1), true), { ...again, timeout: 5000 });
  const last = { ...again, timeout: 5000 };
  assert.equal(look.after(second, last, millis(1), false), undefined, 'the server waits no longer');
});

test('a run whose beginning is not known is judged at once', () => {
  const look = new SecondLook(500);
  const evicted = activation({ fireTimer: {} });
  assert.deepEqual(look.begin(evicted), { earlier: [], sampled: true, timeout: 500 });
  look.begin(activation({ initialize: {} }));
  look.forget('r');
  const trial = look.begin(evicted);
  assert.deepEqual(trial, { earlier: [], sampled: true, timeout: 500 });
  assert.equal(look.after(evicted, trial, millis(400), false), undefined);
});

for (const [workflow, place] of [
  ['loops', /at loops \(\S*loops\.ts:6:/],
  ['loopsLater', /loops\.ts:13:/],
] as const) {
  test(`a test hears of ${workflow}`, async (t) => {
    const environment = await TestWorkflowEnvironment.createTimeSkipping();
    t.after(() => environment.teardown());
    const worker = await Worker.create({
      connection: environment.nativeConnection,
      taskQueue: 'q',
      workflowsPath: require.resolve('./workflows/loops'),
    });
    const result = environment.client.workflow.execute(workflow, { workflowId: workflow, taskQueue: 'q', args: [1] });
    await assert.rejects(worker.runUntil(result), ({ message }: Error) => {
      assert.match(message, /did not yield for [\d.]+ s.* Outside of tests it may take 5 s; `workflowThreadTimeout`/);
      assert.match(message, place);
      return true;
    });
  });
}
