/** Workflows that do what they must not, for tests that look at what is said about it. */

import { CancellationScope, condition, defineQuery, proxyActivities, setHandler, sleep } from '@durably/workflow';

declare function fetch(url: string): Promise<unknown>;

const { echo } = proxyActivities<{ echo(value: string): Promise<string> }>({ startToCloseTimeout: '1 minute' });

export async function failsDeep(): Promise<void> {
  await sleep(1);
  deeper();
}

function deeper(): never {
  throw new TypeError('out of order');
}

export async function forgetsRejection(): Promise<void> {
  void Promise.reject(new Error('nobody looks'));
  await condition(() => false);
}

export async function fetches(): Promise<void> {
  await fetch('http://localhost');
}

export async function spins(): Promise<void> {
  for (;;);
}

export async function spinsInMicrotasks(): Promise<void> {
  for (;;) await null;
}

export const waits = defineQuery<Promise<void>>('waits');
export const starts = defineQuery<string>('starts');

export async function queried(): Promise<void> {
  setHandler(waits, () => sleep(1000));
  setHandler(starts, () => {
    void echo('x').catch(() => undefined);
    return 'started';
  });
  await condition(() => false);
}

export async function changed(version: number): Promise<string> {
  const first = await echo('a');
  if (version > 1) await sleep('1 second');
  return first + (await echo('b'));
}

export async function dates(): Promise<[number, number, boolean]> {
  const before = Date.now();
  await sleep(5);
  return [before, new Date().getTime(), new Date().getTime() >= before];
}

/** Scopes follow what runs inside them through awaits, callbacks and other scopes. */
export async function scopes(): Promise<string[]> {
  const seen: string[] = [];
  const root = CancellationScope.current();
  const outer = new CancellationScope();
  await outer.run(async () => {
    await sleep(1);
    seen.push(String(CancellationScope.current() === outer));
    await CancellationScope.nonCancellable(async () => {
      outer.cancel();
      await sleep(1);
      seen.push(String(CancellationScope.current().cancellable));
    });
    await sleep(1).catch((error: Error) => seen.push(error.name));
  });
  seen.push(String(CancellationScope.current() === root));
  await CancellationScope.withTimeout(5, () => sleep('1 hour')).catch((error: Error) => seen.push(error.name));
  return seen;
}
