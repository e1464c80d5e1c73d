/** The square's worker in TypeScript: runs until its standard input ends. test_square.py says what each part is for. */

import { once } from 'node:events';
import { NativeConnection, Worker } from '@temporalio/worker';
import * as activities from './activities';

async function main(): Promise<void> {
  const [address, taskQueue] = process.argv.slice(2) as [string, string];
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowsPath: require.resolve('./workflows'),
    activities,
    maxHeartbeatThrottleInterval: 100,
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
