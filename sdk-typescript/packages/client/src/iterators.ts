/** Async iterables: mapping them with several calls at one time. */

export interface MapAsyncOptions {
  /** Calls of the function at one time. Default 1. */
  concurrency?: number;
  /** Results kept for who consumes them, beyond which no call begins. Default: no limit. */
  bufferLimit?: number;
}

/**
 * Results of `fn` for each item of `source`, as they come in. The first error ends it. Ending it early ends `source`;
 * calls that have begun go on unheard.
 */
export async function* mapAsyncIterable<A, B>(
  source: AsyncIterable<A>,
  fn: (item: A) => Promise<B>,
  { concurrency = 1, bufferLimit }: MapAsyncOptions = {},
): AsyncGenerator<B, void> {
  const items = source[Symbol.asyncIterator]();
  const done: B[] = [];
  const running = new Set<Promise<void>>();
  let exhausted = false;
  const pull = async (): Promise<void> => {
    const next = await items.next();
    if (next.done) exhausted = true;
    else start(next.value);
  };
  const start = (item: A): void => {
    const task: Promise<void> = fn(item)
      .then((result) => void done.push(result))
      .finally(() => running.delete(task));
    // Who waits for the task hears of its error; the process must not fall over it before.
    task.catch(() => undefined);
    running.add(task);
  };
  try {
    for (;;) {
      while (!exhausted && running.size < concurrency && done.length + running.size < (bufferLimit ?? Infinity)) {
        await pull();
      }
      if (done.length > 0) yield done.shift() as B;
      else if (running.size > 0) await Promise.race(running);
      else if (exhausted) return;
      else await pull();
    }
  } finally {
    await items.return?.();
  }
}
