/** A program that waits for a result; `interrupt.test.ts` presses Ctrl-C. Its argument says how it waits. */

import { Client } from '@durably/client';
import { NativeConnection, Worker } from '@durably/worker';

async function main(how: string): Promise<void> {
  const connection = await NativeConnection.connect({ address: 'embedded:' });
  const { workflow } = new Client({ connection });
  const worker = await Worker.create({ connection, taskQueue: 'q', workflowsPath: require.resolve('./workflows/waiting') });
  const handle = await workflow.start('waiting', { workflowId: 'w', taskQueue: 'q' });
  const running = how === 'until' ? worker.runUntil(handle.result()) : worker.run();
  console.log('waits');
  if (how === 'result') await handle.result();
  await running;
}

main(process.argv[2] ?? '').catch((error) => {
  console.error(error);
  process.exit(1);
});
