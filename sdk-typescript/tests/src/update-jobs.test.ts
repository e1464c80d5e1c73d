/** What a run answers to updates, job by job: in which order, and what each mistake of a handler or validator comes to. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPayloadConverter, toPayloads } from '@durably/common';
import { Activations, kinds } from './activations';

const payloads = (...values: unknown[]) => toPayloads(defaultPayloadConverter, ...values) ?? [];
const update = (id: string, name: string, args: unknown[] = [], runValidator = true) => ({
  update: { id, name, arguments: payloads(...args), headers: {}, identity: 'me', runValidator },
});
const signal = (name: string, ...args: unknown[]) => ({ signal: { name, arguments: payloads(...args), headers: {}, identity: 'me' } });
const query = (name: string, ...args: unknown[]) => ({ query: { id: 'q', name, arguments: payloads(...args), headers: {} } });
const value = (payload: any): any => defaultPayloadConverter.fromPayload(payload);

/** Answers to updates in short, and the kinds of other commands. */
function told(commands: any[]): string[] {
  return commands.map((command) => {
    const answer = command.updateAnswer;
    if (!answer) return kinds([command])[0]!;
    const { id, accepted, rejected, succeeded, failed } = answer;
    if (accepted) return `${id} accepted`;
    if (rejected) return `${id} rejected: ${rejected.message}`;
    return failed ? `${id} failed: ${failed.message}` : `${id}: ${JSON.stringify(value(succeeded))}`;
  });
}

async function begun(workflow: string, jobs: object[] = [], ...args: unknown[]) {
  const activations = await Activations.of('updates');
  const { run, jobs: first } = activations.begin(workflow, ...args);
  const commands = told(activations.answer(run, [...first, ...jobs]).commands);
  const answer = (jobs: object[], options: object = {}) => told(activations.answer(run, jobs, options).commands);
  const asked = (name: string, ...args: unknown[]): any => {
    const [{ queryAnswer }] = activations.answer(run, [query(name, ...args)]).commands;
    return queryAnswer.failed ? `failed: ${queryAnswer.failed.message}` : value(queryAnswer.succeeded);
  };
  return { activations, run, commands, answer, asked };
}

test('what came with the start is handled as soon as there is a handler, in its order', async () => {
  const jobs = [signal('told', 'a'), update('1', 'add', [1]), signal('told', 'b'), update('2', 'add', [2])];
  const { commands, asked } = await begun('counts', jobs);
  assert.deepEqual(commands, ['1 accepted', '2 accepted', '1: 1', '2: 3']);
  assert.deepEqual(asked('log'), ['main', 'told a', 'told b', 'add 1 null', 'add 2 null', 'set']);
});

test('signals and updates of one task are handled in their order', async () => {
  const { answer, asked } = await begun('counts');
  const jobs = [signal('told', 'a'), update('1', 'add', [1]), signal('told', 'b'), update('2', 'add', [2])];
  assert.deepEqual(answer(jobs), ['1 accepted', '2 accepted', '1: 1', '2: 3']);
  assert.deepEqual(asked('log').slice(2), ['told a', 'add 1 null', 'told b', 'add 2 null']);
});

test('a validator turns updates away, and its handler sees nothing of what it did to the arguments', async () => {
  const { answer, asked, activations, run } = await begun('counts');
  assert.deepEqual(answer([update('1', 'add', [0])]), ['1 rejected: 0 is not positive']);
  const [{ updateAnswer }] = activations.answer(run, [update('2', 'add', [-1])]).commands;
  const { applicationFailureInfo, stackTrace } = updateAnswer.rejected;
  assert.equal(applicationFailureInfo.type, 'RangeError');
  assert.match(stackTrace, /updates\.ts:\d+/);
  assert.deepEqual(answer([update('3', 'add', [2, { by: 'Ann' }])]), ['3 accepted', '3: 2']);
  assert.deepEqual(asked('log').slice(2), ['add 2 {"by":"Ann"}']);
  // In a replay it was accepted, whatever the validator says now.
  assert.deepEqual(answer([update('4', 'add', [-2], false)], { isReplaying: true }), ['4 accepted', '4: 0']);
});

test('arguments that cannot be decoded turn an update away, also without a validator', async () => {
  const { answer } = await begun('waits');
  const broken = { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{') };
  const job = { update: { id: '1', name: 'slow', arguments: [broken], headers: {}, runValidator: true } };
  assert.match(answer([job])[0]!, /^1 rejected: .*JSON/);
});

test('an update without a handler is turned away at the end of its activation, and not before', async () => {
  const { commands, answer } = await begun('setsLate', [update('1', 'early'), update('2', 'other', [1])], 0);
  assert.deepEqual(commands, ['1 accepted', '2 accepted', '1: undefined', '2: "other"']);
  const late = await begun('setsLate', [update('1', 'early')], 1000);
  assert.deepEqual(late.commands, ['startTimer', '1 rejected: No registered handler for update: early; known updates: []']);
  assert.deepEqual(late.answer([update('2', 'early')]), ['2 rejected: No registered handler for update: early; known updates: []']);
  assert.deepEqual(late.answer([update('3', 'early'), { fireTimer: { seq: 1 } }]), ['3 accepted', '3: undefined']);
  // Nobody has it but the SDK.
  assert.match(answer([update('4', '__temporal_x')])[0]!, /^4 rejected: Cannot use update name: '__temporal_x', with reserved prefix/);
});

test('handlers for everything else get what has none, but not what is the SDK\'s', async () => {
  const { answer, asked, activations, run } = await begun('setsLate', [signal('first', 1), signal('__temporal_y')], 0);
  answer([signal('second'), update('1', 'third', ['x'])]);
  assert.deepEqual(asked('anything', 1), ['anything', 1]);
  assert.match(asked('__temporal_x'), /^failed: Cannot use query name: '__temporal_x'/);
  const [{ completeWorkflow }] = activations.answer(run, [signal('end')]).commands;
  assert.deepEqual(value(completeWorkflow.result), ['first [1]', 'second []', 'third ["x"] third']);
});

test('several updates are under way, and each ends when it has what it waits for', async () => {
  const { answer } = await begun('waits');
  const first = answer([update('1', 'slow', ['a']), update('2', 'slow', ['b'])]);
  assert.deepEqual(first, ['1 accepted', 'scheduleActivity', '2 accepted', 'scheduleActivity']);
  const resolved = (seq: number, result: unknown) => ({ resolveActivity: { seq, result: { completed: { result: payloads(result)[0] } } } });
  assert.deepEqual(answer([resolved(2, 'B')]), ['startTimer']);
  assert.deepEqual(answer([{ fireTimer: { seq: 1 } }]), ['startChildWorkflow']);
  const child = [
    { resolveChildWorkflowStart: { seq: 1, started: { runId: 'c', workflowId: 'c' } } },
    { resolveChildWorkflow: { seq: 1, result: { completed: { result: payloads('bb')[0] } } } },
  ];
  assert.deepEqual(answer(child), []);
  assert.deepEqual(answer([signal('told', 'go b'), signal('end')]), ['2: "B bb slow"'], 'the other one keeps it open');
});

test('a failure fails the update, and any other error the task', async () => {
  const { answer, activations, run } = await begun('breaks');
  assert.deepEqual(answer([update('1', 'fails', ['failure'])]), ['1 accepted', '1 failed: no more']);
  const [, later] = [answer([update('2', 'fails', ['failure later'])]), activations.answer(run, [{ fireTimer: { seq: 1 } }]).commands];
  const { message, applicationFailureInfo } = later[0]!.updateAnswer.failed;
  assert.deepEqual([message, applicationFailureInfo.type, applicationFailureInfo.nonRetryable], ['no more', 'Gone', true]);
  assert.match(activations.failure(run, [update('3', 'fails', ['error'])]), /^none left$/);
  const odd = await begun('breaks');
  assert.match(odd.activations.failure(odd.run, [update('1', 'fails', ['odd result'])]), /^The result of update fails: .*BigInt/);
  const other = await begun('breaks');
  assert.deepEqual(other.answer([update('1', 'fails', ['new'])]), ['1 accepted', 'continueAsNew']);
});

test('what goes on in the activation in which the run ends still counts', async () => {
  const { answer, activations } = await begun('goesOn');
  const answered = answer([update('1', 'slow', ['x'])]);
  assert.deepEqual(answered.filter((one) => one !== 'completeWorkflow'), ['1 accepted', 'startTimer', '1: "x"']);
  assert.deepEqual(activations.logged, [], 'its handler has ended');
});

test('an update knows its id and name, wherever its code runs', async () => {
  const { answer, activations, run } = await begun('nests');
  answer([update('u-1', 'slow', ['x']), signal('told')]);
  const [, { completeWorkflow }] = activations.answer(run, [{ fireTimer: { seq: 1 } }]).commands;
  const expected = [['validator', 'u-1'], ['handler', 'u-1'], ['later', 'u-1'], ['signal', 'u-1'], ['branch', 'u-1'], ['main', null]];
  assert.deepEqual(value(completeWorkflow.result), [null, ...expected]);
});

test('interceptors stand around validators and handlers of updates', async () => {
  const { run, answer } = await begun('counts');
  const seen: unknown[] = [];
  const see = (what: string) => (input: any, next: any) => {
    seen.push([what, input.updateId, input.name, input.args, Object.keys(input.headers)]);
    return next({ ...input, args: [input.args[0] + 10] });
  };
  run.interceptors.inbound.push({ validateUpdate: see('validate'), handleUpdate: see('handle') });
  assert.deepEqual(answer([update('1', 'add', [-5])]), ['1 accepted', '1: 5']);
  assert.deepEqual(seen, [['validate', '1', 'add', [-5], []], ['handle', '1', 'add', [-5], []]]);
  assert.deepEqual(answer([update('2', 'add', [-50])]), ['2 rejected: -40 is not positive']);
  run.interceptors.inbound.push({ validateUpdate: () => { throw new Error('not with me'); } });
  assert.deepEqual(answer([update('3', 'add', [1])]), ['3 rejected: not with me']);
});

test('tools are told the handlers with their descriptions', async () => {
  const { asked } = await begun('counts');
  const { definition, currentDetails } = asked('__temporal_workflow_metadata');
  assert.deepEqual([definition.type, currentDetails], ['counts', '']);
  const names = definition.queryDefinitions.map(({ name }: { name: string }) => name);
  assert.deepEqual(names, ['__stack_trace', '__enhanced_stack_trace', '__temporal_workflow_metadata', 'log']);
  assert.equal(definition.queryDefinitions[3].description, 'what came so far');
  assert.deepEqual(definition.signalDefinitions, [{ name: 'told', description: 'takes a note' }, { name: 'end' }]);
  assert.deepEqual(definition.updateDefinitions, [{ name: 'add', description: 'adds to the sum' }]);
});

test('where an update waits is part of the stack trace', async () => {
  const { answer, asked } = await begun('waits');
  answer([update('1', 'slow', ['a'])]);
  const stacks = asked('__stack_trace').split('\n\n');
  assert.equal(stacks.length, 2);
  for (const stack of stacks) assert.match(stack, /^    at .*updates\.ts:\d+:\d+\)?$/);
  const { locations } = asked('__enhanced_stack_trace').stacks[1];
  assert.match(locations[0].file_path, /updates\.ts$/);
  assert.deepEqual([locations[0].function_name.split(' ')[0], typeof locations[0].line], ['Run.waits', 'number']);
});

test('whoever leaves handlers behind is warned, once, by name and id', async () => {
  const jobs = [update('1', 'slow', ['x']), update('2', 'fails', ['x']), update('3', 'slow', ['ends']), signal('told', 'x'), signal('told', 'y')];
  for (const how of ['return', 'new', 'fail']) {
    const { answer, activations } = await begun('leaves', jobs, how);
    answer([signal('end')]);
    const warnings = activations.logged.map(({ message }) => message).filter((message) => message.startsWith('[TMPRL1102]'));
    if (how === 'fail') {
      assert.deepEqual(warnings, []);
      continue;
    }
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]!, /an update handler was still running.*allHandlersFinished.*: \[\{"name":"slow","id":"1"\}\]$/);
    assert.match(warnings[1]!, /a signal handler was still running.*: \[\{"name":"told","count":2\}\]$/);
  }
  const { answer, activations } = await begun('leaves', jobs, 'return');
  answer([signal('end')], { isReplaying: true });
  assert.deepEqual(activations.logged, []);
});

test('what a validator tries beyond reading turns the update away, and issues nothing', async () => {
  const { answer, run, activations } = await begun('validatesOddly');
  for (const how of ['sleep', 'caught sleep', 'activity', 'new']) {
    assert.deepEqual(answer([update(how, 'odd', [how])]), [`${how} rejected: Update validators only read: they cannot wait or start anything`]);
  }
  for (const how of ['promise', 'rejected promise', 'promise that goes on']) {
    const answered = answer([update(how, 'odd', [how])]);
    assert.equal(answered.length, 1, 'nothing that it left behind issues a command');
    assert.match(answered[0]!, /rejected: The validator of update odd returned a Promise: it has to decide at once/);
  }
  assert.deepEqual(answer([update('1', 'odd', ['nothing'])]), ['1 rejected: undefined']);
  assert.deepEqual(answer([update('2', 'odd', ['text'])]), ['2 rejected: just text']);
  assert.match(answer([update('3', 'odd', ['unreadable'])])[0]!, /^3 rejected: what was thrown can't be read/);
  const [{ updateAnswer }] = activations.answer(run, [update('4', 'odd', ['failure'])]).commands;
  const { message, applicationFailureInfo } = updateAnswer.rejected;
  assert.deepEqual([message, applicationFailureInfo.type], ['turned away', 'Away']);
  assert.equal(value(applicationFailureInfo.details.payloads[0]).why, 'so');
});

test('what draws random numbers without being replayed shifts none of the others', async () => {
  const drawn = async (queries: number) => {
    const { asked, activations, run } = await begun('validatesOddly');
    for (let i = 0; i < queries; i++) assert.equal(typeof asked('draws'), 'number');
    return activations.answer(run, [update('1', 'odd', ['random'], queries > 0)]).commands.map((one) => one.updateAnswer.succeeded && value(one.updateAnswer.succeeded));
  };
  assert.deepEqual(await drawn(0), await drawn(2));
});
