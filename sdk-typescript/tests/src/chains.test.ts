/** What passes between a run and its code can be seen and changed on its way, and takes the same turns if nobody looks. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPayloadConverter, toPayloads } from '@durably/common';
import { bundleWorkflowCode } from '@durably/worker';
import { WorkflowContext } from '@durably/worker/lib/workflow/context';
import { workflowsPath } from './worker';

const NOW = { timestamp: { seconds: 1, nanos: 0 }, isReplaying: false, availableFlags: [], historyLength: 3 };
const logger = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** The commands, in order, of an activation. */
function activate(context: WorkflowContext, run: any, jobs: object[]): any[] {
  context.activate(run, { runId: 'r', jobs, ...NOW } as any, false);
  const { commands, failed } = context.conclude(run);
  assert.equal(failed, undefined);
  return [...commands];
}

function begun(context: WorkflowContext): { run: any; jobs: object[] } {
  const args = toPayloads(defaultPayloadConverter, 'theirs');
  const initialize = { workflowType: 'chained', workflowId: 'w', arguments: args, headers: {}, randomnessSeed: '1' };
  const jobs = [{ initialize }];
  const activation = { runId: 'r', jobs, ...NOW } as any;
  return { run: context.createRun({ runId: 'r', activation, failureErrorTypes: [], buildId: '' }), jobs };
}

test('interceptors stand around what comes in and what goes out, the first outermost', async () => {
  const { code } = await bundleWorkflowCode({ workflowsPath: workflowsPath('chained') });
  const context = new WorkflowContext({ code, logger, timeout: 0 });
  const seen: string[] = [];
  const outer = {
    // None waits: continuations of functions of this realm run when the step has ended.
    execute: (input: any, next: any) => {
      seen.push(`execute ${input.args}`);
      return next({ ...input, args: ['mine'] });
    },
    handleSignal: (input: any, next: any) => {
      seen.push(`signal ${input.signalName} ${input.args}`);
      return next(input);
    },
    handleQuery: (input: any, next: any) => {
      seen.push(`query ${input.queryName}`);
      return next(input);
    },
  };
  const inner = { execute: (input: any, next: any) => (seen.push(`inner ${input.args}`), next(input)) };
  const going = {
    startTimer: (input: any, next: any) => next({ ...input, millis: input.millis * 2 }),
    scheduleActivity: (input: any, next: any) => next({ ...input, activity: { ...input.activity, taskQueue: 'elsewhere' } }),
    startChildWorkflowExecution: (input: any, next: any) =>
      next({ ...input, child: { ...input.child, taskQueue: 'elsewhere' }, summary: 'seen' }),
    signalWorkflow: (input: any, next: any) => next({ ...input, signal: { ...input.signal, signalName: 'bye' } }),
    continueAsNew: (input: any, next: any) => next({ ...input, args: ['changed'] }),
  };
  const { run, jobs } = begun(context);
  run.interceptors.inbound.push(outer, inner);
  run.interceptors.outbound.push(going);
  const [timer, activity, child, sent] = activate(context, run, jobs);
  assert.equal(timer.startTimer.startToFireTimeout.seconds, 2);
  assert.deepEqual([activity.scheduleActivity.activityType, activity.scheduleActivity.taskQueue], ['echo', 'elsewhere']);
  assert.deepEqual([child.startChildWorkflow.workflowType, child.startChildWorkflow.taskQueue], ['child', 'elsewhere']);
  assert.equal(defaultPayloadConverter.fromPayload(child.userMetadata.summary), 'seen');
  assert.deepEqual([sent.signalExternalWorkflow.workflow.workflowId, sent.signalExternalWorkflow.signalName], ['w-2', 'bye']);
  const payloads = toPayloads(defaultPayloadConverter, 'hello');
  const signal = { name: 'signal', arguments: payloads, headers: {} };
  const [ended] = activate(context, run, [{ signal }]);
  const [argument] = ended.continueAsNew.arguments;
  assert.equal(defaultPayloadConverter.fromPayload(argument), 'changed');
  const query = { id: 'q', name: 'query', arguments: [], headers: {} };
  const [answer] = activate(context, run, [{ query }]);
  assert.equal(defaultPayloadConverter.fromPayload(answer.queryAnswer.succeeded), 'mine');
  assert.deepEqual(seen, ['execute theirs', 'inner mine', 'signal signal hello', 'query query']);
});

test('without interceptors the order of commands is that of the last links', async () => {
  const { code } = await bundleWorkflowCode({ workflowsPath: workflowsPath('chained') });
  const context = new WorkflowContext({ code, logger, timeout: 0 });
  const { run, jobs } = begun(context);
  const expected = ['startTimer', 'scheduleActivity', 'startChildWorkflow', 'signalExternalWorkflow'];
  assert.deepEqual(activate(context, run, jobs).map((command) => Object.keys(command)[0]), expected);
});
