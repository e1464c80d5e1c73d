/** What all workers of a process share: in a process of its own, since it is installed once. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from '@durably/client';
import { DefaultLogger, type LogEntry, NativeConnection, Runtime, Worker } from '@durably/worker';

test('a runtime says what of its options has no effect, and is installed once', () => {
  const logged: LogEntry[] = [];
  const logger = new DefaultLogger('INFO', (entry) => logged.push(entry));
  const telemetryOptions = { metrics: { prometheus: { bindAddress: '127.0.0.1:0' } }, logging: { forward: {} } };
  const runtime = Runtime.install({ logger, telemetryOptions });
  assert.deepEqual(
    logged.map(({ level, message }) => `${level} ${message}`),
    ['WARN RuntimeOptions.telemetryOptions.metrics has no effect: metrics are not there yet'],
  );
  assert.equal(Runtime.instance(), runtime);
  assert.throws(() => Runtime.install({}), /installed already: call Runtime\.install before workers are made/);
});

test('signals shut workers down, and a second one changes nothing', async () => {
  const connection = await NativeConnection.connect({ address: 'embedded:' });
  const client = new Client({ connection });
  let begun!: () => void;
  const beginning = new Promise<void>((resolve) => (begun = resolve));
  let release!: (value: string) => void;
  const greet = () => {
    begun();
    return new Promise<string>((resolve) => (release = resolve));
  };
  const worker = await Worker.create({
    connection,
    taskQueue: 'q',
    workflowsPath: join(__dirname, '..', 'src', 'workflows', 'greeting.ts'),
    activities: { greet },
    shutdownGraceTime: '1 minute',
  });
  const running = worker.run();
  await client.workflow.start('greeting', { taskQueue: 'q', workflowId: 'g', args: ['Ann'] });
  await beginning;
  process.emit('SIGQUIT', 'SIGQUIT');
  assert.equal(worker.getState(), 'STOPPING');
  process.emit('SIGQUIT', 'SIGQUIT');
  assert.throws(() => worker.shutdown(), /Not running\. Current state: STOPPING/);
  release('done');
  await running;
  assert.equal(worker.getState(), 'STOPPED');
  assert.equal(process.listenerCount('SIGQUIT'), 0);
  await connection.close();
});
