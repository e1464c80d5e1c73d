/** What passes between a run and its code can be seen and changed on its way, and takes the same turns if nobody looks. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPayloadConverter, toPayloads } from '@durably/common';
import { Activations, kinds } from './activations';

test('interceptors stand around what comes in and what goes out, the first outermost', async () => {
  const activations = await Activations.of('chained');
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
  const { run, jobs } = activations.begin('chained', 'theirs');
  const activate = (jobs: object[]) => activations.answer(run, jobs).commands;
  run.interceptors.inbound.push(outer, inner);
  run.interceptors.outbound.push(going);
  const [timer, activity, child, sent] = activate(jobs);
  assert.equal(timer.startTimer.startToFireTimeout.seconds, 2);
  assert.deepEqual([activity.scheduleActivity.activityType, activity.scheduleActivity.taskQueue], ['echo', 'elsewhere']);
  assert.deepEqual([child.startChildWorkflow.workflowType, child.startChildWorkflow.taskQueue], ['child', 'elsewhere']);
  assert.equal(defaultPayloadConverter.fromPayload(child.userMetadata.summary), 'seen');
  assert.deepEqual([sent.signalExternalWorkflow.workflow.workflowId, sent.signalExternalWorkflow.signalName], ['w-2', 'bye']);
  const payloads = toPayloads(defaultPayloadConverter, 'hello');
  const signal = { name: 'signal', arguments: payloads, headers: {} };
  const [ended] = activate([{ signal }]);
  const [argument] = ended.continueAsNew.arguments;
  assert.equal(defaultPayloadConverter.fromPayload(argument), 'changed');
  const query = { id: 'q', name: 'query', arguments: [], headers: {} };
  const [answer] = activate([{ query }]);
  assert.equal(defaultPayloadConverter.fromPayload(answer.queryAnswer.succeeded), 'mine');
  assert.deepEqual(seen, ['execute theirs', 'inner mine', 'signal signal hello', 'query query']);
});

test('without interceptors the order of commands is that of the last links', async () => {
  const activations = await Activations.of('chained');
  const { run, jobs } = activations.begin('chained', 'theirs');
  const expected = ['startTimer', 'scheduleActivity', 'startChildWorkflow', 'signalExternalWorkflow'];
  assert.deepEqual(kinds(activations.answer(run, jobs).commands), expected);
});
