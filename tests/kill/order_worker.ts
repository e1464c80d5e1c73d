/** A worker process of the kill test: runs the workflow Order with a TypeScript SDK until its standard input ends. */

import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { NativeConnection, Worker } from '@temporalio/worker';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      address: { type: 'string' },
      queue: { type: 'string', default: 'orders' },
      // With 0, every workflow task replays from the first event.
      cache: { type: 'string', default: '1000' },
    },
  });
  const connection = await NativeConnection.connect({ address: values.address });
  const worker = await Worker.create({
    connection,
    taskQueue: values.queue,
    workflowsPath: require.resolve('./orders'),
    maxCachedWorkflows: Number(values.cache),
  });
  await worker.runUntil(async () => {
    console.log('ready');
    await once(process.stdin.resume(), 'end');
  });
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
