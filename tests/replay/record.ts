/**
 * Records histories of `workflows.ts`: `record.js --address HOST:PORT --out FOLDER`. Those in `histories/` were recorded with
 * the official SDK against a real Temporal server.
 */

import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client, Connection, WithStartWorkflowOperation, type WorkflowHandle } from '@temporalio/client';
import * as proto from '@temporalio/proto';
import { NativeConnection, Worker } from '@temporalio/worker';
import * as activities from './activities';
import { change, changes, tell } from './updates';
import { approve, cancellations, childCancellations, cleansUp, family, messages, order, turns } from './workflows';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { address: { type: 'string' }, out: { type: 'string' } } });
  const { address, out = '.' } = values;
  const client = new Client({ connection: await Connection.connect({ address }), identity: 'recorder' });
  const connection = await NativeConnection.connect({ address });
  const taskQueue = 'replay';
  const worker = await Worker.create({
    connection,
    taskQueue,
    identity: 'recorder',
    workflowsPath: require.resolve('./workflows'),
    activities,
  });
  const start = (workflow: (amount: number) => Promise<unknown>, amount: number) =>
    client.workflow.start(workflow, { workflowId: randomUUID(), taskQueue, args: [amount] });
  /** Updates in the first task, several in one task and some that are turned away, among signals. */
  async function changed(amount: number): Promise<WorkflowHandle> {
    const workflowId = randomUUID();
    const startWorkflowOperation = new WithStartWorkflowOperation(changes, {
      args: [amount],
      workflowId,
      taskQueue,
      workflowIdConflictPolicy: 'FAIL',
    });
    const update = { waitForStage: 'ACCEPTED' } as const;
    await client.workflow.startUpdateWithStart(change, { ...update, args: ['sleeps', 1], updateId: 'first', startWorkflowOperation });
    const handle = await startWorkflowOperation.workflowHandle();
    const asked = (how: string, number: number) => handle.executeUpdate(change, { args: [how, number], updateId: `${how} ${number}` });
    const ways = ['at once', 'a turn later', 'fails', 'charges', 'sleeps', 'asks a child'];
    const all = [handle.startUpdate(change, { ...update, args: ['waits', 7] }), handle.signal(tell, 'first')];
    const answers = ways.flatMap((how, number) => [asked(how, number), asked(how, -1)]);
    await Promise.allSettled([...all, ...answers, handle.executeUpdate('other')]);
    for (const how of ways) await Promise.allSettled([asked(how, 10), handle.signal(tell, how), asked('at once', amount)]);
    await Promise.allSettled([handle.signal(tell, 'go 7'), asked('charges', 20), handle.signal(tell, 'end'), asked('sleeps', 20)]);
    return handle;
  }
  async function save(name: string, handle: WorkflowHandle): Promise<void> {
    await handle.result().catch(() => undefined);
    const { temporal } = proto;
    const { events } = await handle.fetchHistory();
    // Stack traces name the recording machine's paths, and nothing depends on them.
    for (const event of events ?? []) {
      const attributes = event.activityTaskFailedEventAttributes ?? event.childWorkflowExecutionFailedEventAttributes;
      for (let of = attributes?.failure; of; of = of.cause) of.stackTrace = '';
    }
    writeFileSync(join(out, `${name}.binpb`), temporal.api.history.v1.History.encode({ events }).finish());
  }
  await worker.runUntil(async () => {
    for (const amount of [1, 2, 3]) {
      const ordered = await start(order, amount);
      await ordered.signal(approve, true);
      await save(`typescript-order-${amount}`, ordered);
      await save(`typescript-turns-${amount}`, await start(turns, amount));
    }
    for (const amount of [1, 2]) await save(`typescript-family-${amount}`, await start(family, amount));
    for (const amount of [1, 2, 3]) await save(`typescript-changes-${amount}`, await changed(amount));
    await save('typescript-childCancellations', await start(childCancellations, 1));
    await save('typescript-messages', await start(messages, 1));
    await save('typescript-cancellations', await start(cancellations, 1));
    const cancelled = await start(cleansUp, 1);
    await cancelled.cancel();
    await save('typescript-cleansUp', cancelled);
  });
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
