/** Workflows that do what they must not, for tests that look at what is said about it. */

import { CancellationScope, condition, defineQuery, defineSignal, proxyActivities, setHandler, sleep } from '@durably/workflow';

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

/** Never yields, in each place where the user's code runs. */
export async function spinsIn(where: string): Promise<void> {
  setHandler(poke, () => {
    if (where === 'signal') spin();
    poked = true;
  });
  setHandler(look, () => (where === 'query' ? spin() : undefined));
  if (where === 'regular expression') /^(a+)+$/.test(`${'a'.repeat(50)}b`);
  if (where === 'failure') {
    throw Object.defineProperty(new Error('x'), 'cause', {
      get() {
        return spin();
      },
    });
  }
  if (where === 'conditions') {
    await condition(() => poked);
    // True whenever it is asked again: no step takes long, but there is no end.
    let asked = 0;
    for (;;) await condition(() => asked++ % 2 === 1);
  }
  await condition(() => (poked && where === 'condition' ? spin() : false));
}

let poked = false;
export const poke = defineSignal('poke');
export const look = defineQuery<void>('look');

function spin(): never {
  for (;;);
}

export async function counts(): Promise<number> {
  let count = 0;
  setHandler(poke, () => void count++);
  await condition(() => count === 2);
  return count;
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
