/** A promise that other code settles. */

import { CancellationScope } from './cancellation-scope';

/** Can be awaited, and resolved or rejected from elsewhere. Rejected when its scope is cancelled. */
export class Trigger<T> implements PromiseLike<T> {
  readonly resolve!: (value: T | PromiseLike<T>) => void;
  readonly reject!: (reason?: unknown) => void;
  private readonly promise: Promise<T>;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      const scope = CancellationScope.current();
      if (scope.consideredCancelled) scope.cancelRequested.catch(reject);
      else if (scope.cancellable) scope.onCancel(reject);
      Object.assign(this, { resolve, reject });
    });
    // Nobody may ever look at it.
    this.promise.catch(() => undefined);
  }

  then<A = T, B = never>(
    onfulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.promise.then(onfulfilled, onrejected);
  }
}
