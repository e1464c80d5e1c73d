/** The workflows of the README of the TypeScript SDK. */

// snippet: workflows
import { proxyActivities, sleep } from '@durably/workflow';
import type * as activities from './activities';

const { greet } = proxyActivities<typeof activities>({ startToCloseTimeout: '10 seconds' });

export async function greeting(name: string): Promise<string> {
  await sleep('1 second'); // a durable timer: it survives a crash of this process
  return await greet(name);
}
// end snippet
