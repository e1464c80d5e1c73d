/** The codec of messages: what goes in comes out, and what is no message is an error. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode, fromJson, temporal, toJson } from '@durably/proto';

const HISTORY = 'temporal.api.history.v1.History';

test('numbers of all sizes and signs come back', () => {
  for (const value of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER, 2n ** 62n, -1, -(2 ** 40)]) {
    const event = { events: [{ eventId: value, version: -1 }] };
    const decoded = decode(HISTORY, encode(HISTORY, event));
    assert.equal(decoded.events[0].eventId, value);
    assert.equal(decoded.events[0].version, -1);
  }
});

test('texts, bytes, maps, lists and nested messages of all lengths come back', () => {
  for (const length of [0, 1, 127, 128, 20_000, 3_000_000]) {
    const text = 'é'.repeat(length);
    const data = Buffer.alloc(length, 7);
    const payload = { metadata: { encoding: data, ['__proto__x']: Buffer.from('y') }, data };
    const start = { runId: text, success: { commands: [{ completeWorkflow: { result: payload } }], usedFlags: [1, 300] } };
    const { workflow } = decode('durably.core.v1.WorkerRequest', encode('durably.core.v1.WorkerRequest', { workflow: start }));
    assert.equal(workflow.runId, text);
    assert.deepEqual(workflow.success.usedFlags, [1, 300]);
    const [command] = workflow.success.commands;
    const { metadata, data: bytes } = command.completeWorkflow.result;
    assert.deepEqual([{ ...metadata }, Buffer.from(bytes)], [payload.metadata, data]);
  }
});

test('fields that are absent read as defaults, and unknown ones are skipped', () => {
  const event = decode('durably.core.v1.WorkerEvent', encode('durably.core.v1.WorkerEvent', { workflow: { runId: 'r' } }));
  assert.deepEqual([event.workflow.isReplaying, event.workflow.jobs, event.replay], [false, [], undefined]);
  const more = { runId: 'r', success: { commands: [{ location: 'x' }], cacheBytes: 5 } };
  const less = decode('durably.core.v1.EvictRun', encode('durably.core.v1.WorkflowCompletion', more));
  assert.deepEqual({ ...less }, { runId: 'r' });
});

test('bytes that end too early, or are no message, are an error that says so', () => {
  const bytes = encode(HISTORY, { events: [{ eventId: 300, workerMayIgnore: true }] });
  for (let length = 1; length < bytes.length; length++) {
    assert.throws(() => decode(HISTORY, bytes.subarray(0, length)), /not a temporal\.api\.history\.v1\.History: /);
  }
  assert.throws(() => decode(HISTORY, Buffer.alloc(20, 0xff)), TypeError);
  assert.throws(() => encode(HISTORY, { events: [{ eventId: 1.5 }] }), /eventId must be an integer/);
  assert.throws(() => encode('durably.core.v1.EvictRun', { runId: 5 }), /runId must be a string/);
});

test('JSON forms follow protobuf', () => {
  const history = {
    events: [
      {
        eventId: 1,
        eventTime: { seconds: 1, nanos: 5_000_000 },
        eventType: 1,
        workflowExecutionStartedEventAttributes: {
          workflowRunTimeout: { seconds: 90, nanos: 0 },
          input: { payloads: [{ metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('1') }] },
        },
      },
    ],
  };
  const json = toJson(HISTORY, history) as any;
  const [event] = json.events;
  assert.deepEqual([event.eventId, event.eventTime, event.eventType], ['1', '1970-01-01T00:00:01.005Z', 'EVENT_TYPE_WORKFLOW_EXECUTION_STARTED']);
  assert.equal(event.workflowExecutionStartedEventAttributes.workflowRunTimeout, '90s');
  const back = fromJson(HISTORY, JSON.parse(JSON.stringify(json)));
  assert.deepEqual(encode(HISTORY, back), encode(HISTORY, history));
  assert.equal(fromJson(HISTORY, { events: [{ eventType: 'WorkflowExecutionStarted' }] }).events[0].eventType, 1);
  assert.throws(() => fromJson(HISTORY, { events: [{ eventType: 'Nonsense' }] }), /"Nonsense" is not a value for/);
});

test('messages and enums have their names, as codecs of users expect', () => {
  const { Payload } = temporal.api.common.v1;
  const bytes: Uint8Array = Payload.encode({ metadata: { encoding: Buffer.from('x') }, data: Buffer.from('y') }).finish();
  const { metadata, data } = Payload.decode(bytes);
  assert.deepEqual([Buffer.from(metadata['encoding']!).toString(), Buffer.from(data).toString()], ['x', 'y']);
  assert.deepEqual(Payload.create({ data }), { data });
  const event = temporal.api.history.v1.HistoryEvent.fromObject({ eventId: '7', eventType: 'EVENT_TYPE_TIMER_FIRED' });
  assert.deepEqual([event.eventId, event.eventType], [7, temporal.api.enums.v1.EventType.EVENT_TYPE_TIMER_FIRED]);
  assert.equal((temporal.api.common.v1 as Record<string, unknown>)['Nothing'], undefined);
});
