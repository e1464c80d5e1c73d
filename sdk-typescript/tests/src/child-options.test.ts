/** Options of children: each reaches the contract, and what no child could be started with is refused at the call. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPayloadConverter, defineSearchAttributeKey } from '@durably/common';
import { messageType } from '@durably/proto';
import { type Field, tableOf } from '@durably/proto/lib/tables';
import type { ChildWorkflowOptions } from '@durably/workflow';
import { Activations, kinds } from './activations';
import { withWorker } from './worker';

const NAME = 'durably.core.v1.StartChildWorkflow';
const SECOND = { seconds: 1 };

type Origin = { by: ChildWorkflowOptions & { args?: unknown[] }; is: unknown } | { without: string };

const ORIGINS: Record<string, Origin> = {
  seq: { without: 'the number of the call' },
  namespace: { without: "always the workflow's: the official SDK has no such option" },
  workflowId: { by: { workflowId: 'mine' }, is: 'mine' },
  workflowType: { without: 'the first argument' },
  taskQueue: { by: { taskQueue: 'elsewhere' }, is: 'elsewhere' },
  arguments: { by: { args: ['a', 1] }, is: ['"a"', '1'] },
  headers: { without: 'for interceptors' },
  executionTimeout: { by: { workflowExecutionTimeout: '1s' }, is: SECOND },
  runTimeout: { by: { workflowRunTimeout: 1000 }, is: SECOND },
  taskTimeout: { by: { workflowTaskTimeout: '1 second' }, is: SECOND },
  parentClosePolicy: { by: { parentClosePolicy: 'REQUEST_CANCEL' }, is: 3 },
  workflowIdReusePolicy: { by: { workflowIdReusePolicy: 'REJECT_DUPLICATE' }, is: 3 },
  retryPolicy: { by: { retry: { maximumAttempts: 3 } }, is: { maximumAttempts: 3 } },
  cronSchedule: { by: { cronSchedule: '* * * * *' }, is: '* * * * *' },
  memo: { by: { memo: { note: 'x' } }, is: { fields: { note: '"x"' } } },
  searchAttributes: { by: { searchAttributes: { City: ['Bonn'] } }, is: { indexedFields: { City: '["Bonn"]' } } },
  cancellationType: { by: { cancellationType: 'TRY_CANCEL' }, is: 1 },
  priority: { by: { priority: { priorityKey: 2 } }, is: { priorityKey: 2 } },
};

/** What a workflow of `child-options.ts` answers its first activation with. */
async function answers(): Promise<(workflowType: string, ...args: unknown[]) => any[]> {
  const activations = await Activations.of('child-options');
  return (workflowType, ...args) => {
    const { run, jobs } = activations.begin(workflowType, ...args);
    return activations.answer(run, jobs).commands;
  };
}

/** A message as it arrives, with payloads as text, and without fields that have their default. */
function arrived(message: object): Record<string, unknown> {
  const type = messageType<object, object>(NAME);
  const plain = (value: any): unknown => {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    if (value.data instanceof Uint8Array) return Buffer.from(value.data).toString();
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
  };
  return plain(type.decode(type.encode(message))) as Record<string, unknown>;
}

test('each option of a child reaches the contract, and each field of the contract has one', async () => {
  const answer = await answers();
  const fields = tableOf(NAME).fields.map((field: Field) => field.name);
  assert.deepEqual(Object.keys(ORIGINS).sort(), fields.sort());
  const started = (options?: object): Record<string, unknown> => {
    const [command, ...others] = answer('starts', 'child', options ?? {});
    assert.deepEqual(others, []);
    return arrived(command.startChildWorkflow);
  };
  const defaults = started();
  const { workflowId, ...rest } = defaults;
  assert.match(String(workflowId), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(started(), defaults, 'the same in each replay');
  // WAIT_CANCELLATION_COMPLETED. The task queue and policies that are left out, the core and the server fill in.
  assert.deepEqual({ ...rest, workflowType: undefined, seq: undefined }, { cancellationType: 2, workflowType: undefined, seq: undefined });
  for (const [field, origin] of Object.entries(ORIGINS)) {
    if ('without' in origin) continue;
    const { [field]: value, ...others } = started(origin.by);
    const { [field]: standard, ...unchanged } = defaults;
    assert.deepEqual(value, origin.is, field);
    assert.notDeepEqual(value, standard, field);
    assert.deepEqual(others, unchanged, `${JSON.stringify(origin.by)} sets ${field} only`);
  }
  const typed = [{ key: defineSearchAttributeKey('City', 'KEYWORD'), value: 'Bonn' }];
  assert.deepEqual(started({ typedSearchAttributes: typed }).searchAttributes, { indexedFields: { City: '"Bonn"' } });
});

test('each way of waiting, each policy, and what tools show', async () => {
  const answer = await answers();
  const started = (options: object) => answer('starts', 'child', options)[0];
  const types = { ABANDON: 0, TRY_CANCEL: 1, WAIT_CANCELLATION_COMPLETED: 2, WAIT_CANCELLATION_REQUESTED: 3 };
  for (const [cancellationType, number] of Object.entries(types)) {
    assert.equal(started({ cancellationType }).startChildWorkflow.cancellationType, number);
  }
  const policies = { TERMINATE: 1, ABANDON: 2, REQUEST_CANCEL: 3, PARENT_CLOSE_POLICY_ABANDON: 2 };
  for (const [parentClosePolicy, number] of Object.entries(policies)) {
    assert.equal(started({ parentClosePolicy }).startChildWorkflow.parentClosePolicy, number);
  }
  const { summary, details } = started({ staticSummary: 'short', staticDetails: 'long' }).userMetadata;
  assert.deepEqual([summary, details].map((payload) => defaultPayloadConverter.fromPayload(payload)), ['short', 'long']);
  assert.equal(started({ staticSummary: 'short' }).userMetadata.details, undefined);
});

const REFUSED: [RegExp, string, ...unknown[]][] = [
  [/^TypeError: Invalid workflow type: expected a name, or a function/, 'startChild'],
  [/^TypeError: Invalid workflow type/, 'executeChild', { workflowId: 'w' }],
  [/^TypeError: Invalid workflow type: the name is empty/, 'executeChild', ''],
  [/^TypeError: Invalid workflow type: expected a name, or a function that has one/, 'anonymous'],
  [/^TypeError: Child workflow c: its options must be an object, not "a"/, 'executeChild', 'c', 'a'],
  [/^TypeError: Child workflow c: its options must be an object, not an array/, 'executeChild', 'c', ['a']],
  [/^TypeError: Child workflow c: args must be an array, not "a"/, 'executeChild', 'c', { args: 'a' }],
  [/^TypeError: Child workflow c: workflowId must be a string, not the number 5/, 'startChild', 'c', { workflowId: 5 }],
  [/^TypeError: Child workflow c: workflowId must not be empty/, 'startChild', 'c', { workflowId: '' }],
  [/^TypeError: Child workflow c: taskQueue must be a string, not an object/, 'startChild', 'c', { taskQueue: {} }],
  [/^TypeError: Child workflow c: cronSchedule must be a string/, 'startChild', 'c', { cronSchedule: 5 }],
  [/^TypeError: Child workflow c: memo must be an object, not "x"/, 'startChild', 'c', { memo: 'x' }],
  [/^TypeError: Child workflow c: retry must be an object, not the number 3/, 'startChild', 'c', { retry: 3 }],
  [/^ValueError: RetryPolicy\.maximumAttempts/, 'startChild', 'c', { retry: { maximumAttempts: 0.5 } }],
  [/^TypeError: Invalid duration "soon"/, 'startChild', 'c', { workflowRunTimeout: 'soon' }],
  [/^ValueError: Invalid duration -1/, 'startChild', 'c', { workflowRunTimeout: -1 }],
  [/^TypeError: Invalid cancellationType "LATER": expected one of ABANDON/, 'startChild', 'c', { cancellationType: 'LATER' }],
  [/^TypeError: Invalid parentClosePolicy "KILL": expected one of TERMINATE/, 'startChild', 'c', { parentClosePolicy: 'KILL' }],
  [/^TypeError: Invalid workflowIdReusePolicy "NO"/, 'startChild', 'c', { workflowIdReusePolicy: 'NO' }],
  [/^TypeError: priorityKey must be a positive integer/, 'startChild', 'c', { priority: { priorityKey: 0 } }],
  [/^ValueError: Search attribute City must be an array/, 'startChild', 'c', { searchAttributes: { City: 'Bonn' } }],
  [/^TypeError: The workflowId of getExternalWorkflowHandle must be a string, not undefined/, 'handle'],
  [/^TypeError: The workflowId of getExternalWorkflowHandle must not be empty/, 'handle', ''],
  [/^TypeError: The runId of getExternalWorkflowHandle must be a string, not the number 7/, 'handle', 'w', 7],
  [/^TypeError: The name of a signal must be a string, not undefined/, 'signal'],
  [/^TypeError: The name of a signal must not be empty/, 'signal', ''],
  [/^TypeError: Only signals can be sent, .* this is of type query/, 'signal', { type: 'query', name: 'q' }],
];

test('what no child could be started with, and no signal sent, is refused at the call', async () => {
  const answer = await answers();
  for (const [message, ...call] of REFUSED) {
    const commands = answer('refused', ...call);
    assert.deepEqual(kinds(commands), ['completeWorkflow'], JSON.stringify(call));
    assert.match(defaultPayloadConverter.fromPayload(commands[0].completeWorkflow.result), message);
  }
});

test('an argument that cannot be converted is named with its child', async () => {
  await withWorker('children', async (env) => {
    const handle = await env.start('passesTheUnspeakable');
    assert.match(await env.taskFailure(handle), /Child workflow greets: argument 1: .*BigInt[^]*children\.ts:\d+/);
    await handle.terminate();
  });
});
