/** Errors in each place where the user's code runs, for tests of what becomes of the workflow. */

import { ApplicationFailure } from '@durably/common';
import { condition, defineQuery, defineSignal, proxyActivities, setHandler, sleep } from '@durably/workflow';

export class OutOfStock extends Error {}

const signal = defineSignal<[unknown?]>('signal');
const { give } = proxyActivities<{ give(): Promise<unknown> }>({ startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } });

export async function throwsInMain(): Promise<void> {
  throw new OutOfStock('none left');
}

/** Waits for a signal, then throws where it was told to. */
export async function throwsLater(where: string): Promise<void> {
  let told = false;
  setHandler(signal, async () => {
    told = true;
    if (where === 'handler') throw new OutOfStock('none left');
    if (where === 'handler after await') {
      await sleep(1);
      throw new OutOfStock('none left');
    }
    if (where === 'promise') void Promise.reject(new OutOfStock('none left'));
  });
  await condition(() => {
    if (told && where === 'condition') throw new OutOfStock('none left');
    return false;
  });
}

/** Its input and its activity's result may be no JSON. */
export async function decodes(input: unknown): Promise<unknown> {
  return [input, await give()];
}

export async function returnsWhat(kind: string): Promise<unknown> {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const odd: Record<string, unknown> = {
    bigint: { amount: 1n },
    circle,
    toJSON: {
      toJSON: () => {
        throw new OutOfStock('not as JSON');
      },
    },
  };
  return odd[kind];
}

/** Failures that are hard to convert. */
export async function failsWith(kind: string): Promise<void> {
  const failure = ApplicationFailure.nonRetryable('hard to say', 'Hard');
  if (kind === 'circular cause') Object.assign(failure, { cause: failure });
  if (kind === 'deep cause') {
    let of: Error = failure;
    for (let i = 0; i < 2000; i++) of = Object.assign(of, { cause: new Error(`cause ${i}`) }).cause;
  }
  if (kind === 'details') Object.assign(failure, { details: [1n] });
  if (kind === 'message') {
    Object.defineProperty(failure, 'message', {
      get() {
        throw new Error('no message for you');
      },
    });
  }
  throw failure;
}

export async function asked(): Promise<void> {
  setHandler(defineQuery<void>('fails'), () => {
    throw new OutOfStock('none left');
  });
  await condition(() => false);
}
