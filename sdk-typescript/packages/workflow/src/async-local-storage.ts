/** Values that follow asynchronous code, as `AsyncLocalStorage` of Node.js. */

import { host } from './runtime/globals';
import type { AsyncStorage } from './runtime/host';

export class AsyncLocalStorage<T> {
  readonly #inner: AsyncStorage<T> = new (host().AsyncLocalStorage)<T>();

  /** What the innermost `run` around the calling code has given; undefined outside of all. */
  getStore(): T | undefined {
    return this.#inner.getStore();
  }

  /** Calls the function; it, and all that it begins, sees the value. */
  run<R, Args extends any[]>(store: T, callback: (...args: Args) => R, ...args: Args): R {
    return this.#inner.run(store, () => callback(...args));
  }

  /** Calls the function; it, and all that it begins, sees no value. */
  exit<R, Args extends any[]>(callback: (...args: Args) => R, ...args: Args): R {
    return this.#inner.run(undefined as T, () => callback(...args));
  }
}
