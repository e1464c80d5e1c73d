/** Values on their way to the server and back: converters, codecs, interceptors. */

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ApplicationFailure, Client, type WorkflowClientInterceptor, WorkflowFailedError } from '@durably/client';
import { type Payload, type PayloadCodec, defaultPayloadConverter } from '@durably/common';
import { commands, embedded, payloads } from './hand';

/** Turns each byte round, and says so. */
const codec: PayloadCodec = {
  async encode(given) {
    return given.map(({ metadata, data }) => ({
      metadata: { ...metadata, encoding: Buffer.from('binary/turned'), was: metadata!['encoding']! },
      data: turned(data),
    }));
  },
  async decode(given) {
    return given.map((payload) => {
      const was = payload.metadata?.['was'];
      return was ? { metadata: { encoding: was }, data: turned(payload.data) } : payload;
    });
  },
};

function turned(data: Uint8Array | null | undefined): Uint8Array {
  return Buffer.from(data ?? []).map((byte) => byte ^ 0xff);
}

async function encoded(...values: unknown[]): Promise<{ payloads: Payload[] }> {
  return { payloads: await codec.encode(payloads(...values).payloads!) };
}

test('a codec sees what leaves and what comes, memo and failures included', async (t) => {
  const hand = await embedded(t, {}, { dataConverter: { payloadCodecs: [codec] } });
  const start = { ...hand.options(), args: ['secret'], memo: { secret: 1 }, staticSummary: 'secret' };
  const handle = await hand.client.workflow.start('x', start);
  await handle.signal('s', 'secret');
  const described = await handle.describe();
  assert.deepEqual(described.memo, { secret: 1 });
  assert.equal(await described.staticSummary(), 'secret');
  const info = { type: 'T', details: await encoded('why') };
  const { history } = await hand.answer(commands.fail({ message: 'm', applicationFailureInfo: info }));
  const text = JSON.stringify(history, (_, value) => (value?.type === 'Buffer' ? Buffer.from(value).toString() : value));
  assert.ok(!text.includes('"\\"secret') && text.includes('binary/turned'), text);
  await assert.rejects(handle.result(), (error) => {
    assert.ok(error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure);
    assert.deepEqual(error.cause.details, ['why']);
    return true;
  });
});

test('a payload converter of a module is used', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'durably-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'converter.cjs');
  await writeFile(
    path,
    `exports.payloadConverter = {
       toPayload: (value) => ({ metadata: { encoding: Buffer.from('shout') }, data: Buffer.from(String(value).toUpperCase()) }),
       fromPayload: (payload) => Buffer.from(payload.data).toString() + '!',
     };`,
  );
  const hand = await embedded(t, {}, { dataConverter: { payloadConverterPath: path } });
  const handle = await hand.client.workflow.start('x', { ...hand.options(), args: ['ho'] });
  const { history } = await hand.answer(commands.complete('done'));
  const [input] = history!.events[0]!.workflowExecutionStartedEventAttributes!.input!.payloads;
  assert.equal(Buffer.from(input!.data).toString(), 'HO');
  assert.equal(await handle.result(), '"done"!');
  await writeFile(join(folder, 'empty.cjs'), '');
  const dataConverter = { payloadConverterPath: join(folder, 'empty.cjs') };
  const { connection } = hand;
  assert.throws(() => new Client({ connection, dataConverter }), /does not have a `payloadConverter` export/);
});

test('interceptors see, change and answer calls', async (t) => {
  const seen: string[] = [];
  const note = defaultPayloadConverter.toPayload('Ann');
  const hand = await embedded(t, {}, {
    interceptors: {
      workflow: [
        {
          startWithDetails: (input, next) => {
            seen.push(`outer ${input.workflowType}`);
            return next({ ...input, headers: { ...input.headers, clerk: note } });
          },
          query: async (input) => `${input.queryType} is not asked`,
          describe: (input, next) => {
            seen.push(`describe ${input.workflowExecution.workflowId}`);
            return next(input);
          },
        },
        {
          start: (input, next) => {
            seen.push(`inner ${Object.keys(input.headers).join()}`);
            return next({ ...input, workflowType: 'changed' });
          },
          signal: (input, next) => next({ ...input, args: [...input.args, 'more'] }),
          terminate: (input, next) => next({ ...input, reason: `${input.reason}!` }),
        },
      ],
    },
  });
  const handle = await hand.client.workflow.start('given', hand.options('w'));
  assert.equal(await handle.query('status'), 'status is not asked');
  await handle.signal('s', 1);
  assert.equal((await handle.describe()).type, 'changed');
  await handle.terminate('over');
  const { events } = await handle.fetchHistory();
  assert.deepEqual(seen, ['outer given', 'inner clerk', 'describe w']);
  const { header } = events![0]!.workflowExecutionStartedEventAttributes!;
  assert.equal(Buffer.from(header!.fields!['clerk']!.data!).toString(), '"Ann"');
  const [signal] = events!.flatMap((event) => event.workflowExecutionSignaledEventAttributes ?? []);
  assert.equal(signal!.input!.payloads!.length, 2);
  assert.equal(events!.at(-1)!.workflowExecutionTerminatedEventAttributes!.reason, 'over!');
});

test('interceptors are made for each workflow where older programs do so', async (t) => {
  const made: string[] = [];
  const calls = [
    ({ workflowId }: { workflowId: string }) => {
      made.push(workflowId);
      return { query: async () => workflowId } satisfies WorkflowClientInterceptor;
    },
  ];
  const { client } = await embedded(t, {}, { interceptors: { workflow: { calls } } });
  assert.equal(await client.workflow.getHandle('w').query('anything'), 'w');
  assert.deepEqual(made, ['w']);
});

test('a forgotten await is named', () => {
  const promise = Promise.resolve(1);
  for (const [value, told] of [
    [promise, /convert a promise to payload: `await` is missing/],
    [{ charge: promise }, /\(property 'charge'\): `await` is missing/],
    [[1, promise], /\(property '1'\): `await` is missing/],
  ] as const) {
    assert.throws(() => defaultPayloadConverter.toPayload(value), told);
  }
});
