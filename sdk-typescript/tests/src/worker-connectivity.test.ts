/** A worker tells the log when its server is away and when it is back, once each. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Client } from '@durably/client';
import { NativeConnection, Worker } from '@durably/worker';
import { logged, workflowsPath } from './worker';

async function freeAddress(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return `127.0.0.1:${port}`;
}

/** What was said of the server, as soon as there is so much. */
async function told(count: number): Promise<string[]> {
  for (;;) {
    const lines = logged.filter(({ message }) => message.includes('its server'));
    if (lines.length >= count) return lines.map(({ message, meta }) => `${message} ${meta?.['taskQueue']} ${meta?.['error'] ?? ''}`);
    await turn();
  }
}

test('a worker tells when its server is away and when it is back', { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'durably-'));
  const listen = await freeAddress();
  const serve = () => NativeConnection.connect({ address: `embedded:${join(folder, 'state.db')}`, embedded: { listen } });
  let server = await serve();
  const connection = await NativeConnection.connect({ address: listen });
  const worker = await Worker.create({ connection, taskQueue: 'away', workflowsPath: workflowsPath('hostile') });
  const client = new Client({ connection });
  await worker.runUntil(async () => {
    await client.workflow.execute('fine', { workflowId: 'before', taskQueue: 'away' });
    await server.close();
    const [away] = await told(1);
    assert.match(away!, /^The worker can't reach its server, and goes on trying away .+/);
    server = await serve();
    assert.match((await told(2))[1]!, /^The worker reaches its server again away/);
    assert.equal(await client.workflow.execute('fine', { workflowId: 'after', taskQueue: 'away' }), 'fine');
  });
  assert.equal((await told(2)).length, 2);
  await connection.close();
  await server.close();
  await rm(folder, { recursive: true });
});
