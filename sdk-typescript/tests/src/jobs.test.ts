/**
 * The contract declares every job once: each field of WorkflowJob is one that a run takes. One that is added to the
 * contract, and that no code of this SDK hands on, fails here.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageType } from '@durably/proto';
import { type Field, messageOf, tableOf } from '@durably/proto/lib/tables';
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

/** What a run that waits says of a job that it can make nothing of; empty if it can. */
async function makeRefusal(workflow: string, failureErrorTypes: string[] = []): Promise<(job: object) => string> {
  const { code } = await bundleWorkflowCode({ workflowsPath: workflowsPath(workflow) });
  const context = new WorkflowContext({ code, logger, timeout: 0 });
  const initialize = { workflowType: workflow, workflowId: 'w', randomnessSeed: 1n };
  return (job: object): string => {
    const of = (jobs: object[]): any => ({
      runId: 'r', jobs, timestamp: { seconds: 1, nanos: 0 }, isReplaying: false, availableFlags: [], historyLength: 3,
    });
    const start = of([arrived({ initialize })]);
    const run = context.createRun({ runId: 'r', activation: start, failureErrorTypes, buildId: '' });
    context.activate(run, start, false);
    context.conclude(run);
    context.activate(run, of([arrived(job)]), false);
    return context.conclude(run).failed?.failure.message ?? '';
  };
}

test('a run takes each job of the contract', async () => {
  const refusal = await makeRefusal('waiting');
  assert.match(refusal({}), UNKNOWN);
  const names = tableOf(NAME).fields.map((field: Field) => field.name);
  // A run begins once; and it is the worker that forgets it.
  for (const name of names.filter((name) => name !== 'initialize' && name !== 'evict')) {
    // Some complain, such as of an activity that nobody scheduled; but they know what it is.
    assert.doesNotMatch(refusal({ [name]: {} }), UNKNOWN, name);
  }
  assert.ok(names.length > 6, String(names));
});

test('a run takes each status of the contract, and no other', async () => {
  // Whoever lets any error end a workflow doesn't mean what the core says.
  const refusal = await makeRefusal('owed', ['Error']);
  let seen = 0;
  for (const job of tableOf(NAME).fields) {
    const fields = messageOf(job).fields;
    const result = fields.find(({ name, kind }) => name === 'result' && kind === 'message');
    const statuses = (result ? messageOf(result).fields : fields).filter(({ name }) => name !== 'seq');
    if (!job.name.startsWith('resolve') || !statuses.some(({ name }) => name === 'cancelled')) continue;
    const withStatus = (status: object) => ({ [job.name]: result ? { seq: 1, result: status } : { seq: 1, ...status } });
    // What isn't set is what a later core has: it must not pass for a result.
    assert.match(refusal(withStatus({})), /this SDK does not know; update/, job.name);
    for (const { name } of statuses) {
      // The cause of a failed start is one that there is.
      const value = job.name === 'resolveChildWorkflowStart' && name === 'failed' ? { cause: 1 } : {};
      assert.equal(refusal(withStatus({ [name]: value })), '', `${job.name} ${name}`);
      seen++;
    }
  }
  assert.ok(seen >= 9, String(seen));
});
