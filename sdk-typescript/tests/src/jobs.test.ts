/**
 * The contract declares every job once: each field of WorkflowJob is one that a run takes. One that is added to the
 * contract, and that no code of this SDK hands on, fails here.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageType } from '@durably/proto';
import { type Field, tableOf } from '@durably/proto/lib/tables';
import { bundleWorkflowCode } from '@durably/worker';
import { WorkflowContext } from '@durably/worker/lib/workflow/context';
import { workflowsPath } from './worker';

const NAME = 'durably.core.v1.WorkflowJob';
const UNKNOWN = /a job that this SDK does not know/;
const logger = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** As it arrives from the core. */
function arrived(job: object): any {
  const type = messageType<object, object>(NAME);
  return type.decode(type.encode(job));
}

test('a run takes each job of the contract', async () => {
  const { code } = await bundleWorkflowCode({ workflowsPath: workflowsPath('waiting') });
  const context = new WorkflowContext({ code, logger, timeout: 0 });
  const initialize = { workflowType: 'waiting', workflowId: 'w', randomnessSeed: 1n };
  /** What a run that waits says of a job that it can make nothing of; empty if it can. */
  const refusal = (job: object): string => {
    const of = (jobs: object[]): any => ({
      runId: 'r', jobs, timestamp: { seconds: 1, nanos: 0 }, isReplaying: false, availableFlags: [], historyLength: 3,
    });
    const start = of([arrived({ initialize })]);
    const run = context.createRun({ runId: 'r', activation: start, failureErrorTypes: [], buildId: '' });
    context.activate(run, start, false);
    context.conclude(run);
    context.activate(run, of([arrived(job)]), false);
    return context.conclude(run).failed?.failure.message ?? '';
  };
  assert.match(refusal({}), UNKNOWN);
  const names = tableOf(NAME).fields.map((field: Field) => field.name);
  // A run begins once; and it is the worker that forgets it.
  for (const name of names.filter((name) => name !== 'initialize' && name !== 'evict')) {
    // Some complain, such as of an activity that nobody scheduled; but they know what it is.
    assert.doesNotMatch(refusal({ [name]: {} }), UNKNOWN, name);
  }
  assert.ok(names.length > 6, String(names));
});
