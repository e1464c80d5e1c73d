/** The program of the README of the TypeScript SDK as an ES module. */

// snippet: main
import { Client } from '@durably/client';
import { NativeConnection, Worker } from '@durably/worker';
import * as activities from './activities.js';
import { greeting } from './workflows.js';

const connection = await NativeConnection.connect({ address: 'embedded:greetings.db' }); // or 'localhost:7233'
const client = new Client({ connection });
const worker = await Worker.create({
  connection,
  taskQueue: 'greetings',
  workflowsPath: import.meta.resolve('./workflows.js'),
  activities,
});
const result = client.workflow.execute(greeting, {
  args: ['Ann'],
  workflowId: 'greet-ann', // yours to choose: what it is about
  taskQueue: 'greetings',
  workflowIdConflictPolicy: 'USE_EXISTING', // one under way is awaited, not started again
});
console.log(await worker.runUntil(result));
await connection.close();
// end snippet
