/** A workflow whose activities look at it from outside. */

import { defineSignal, proxyActivities, setHandler } from '@durably/workflow';

export interface Activities {
  look(): Promise<string>;
}

const { look } = proxyActivities<Activities>({ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } });

export const seen = defineSignal<[string]>('seen');

export async function looking(): Promise<string[]> {
  const signals: string[] = [];
  setHandler(seen, (by) => void signals.push(by));
  const status = await look();
  return [status, ...signals];
}
