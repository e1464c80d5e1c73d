/** Cancellation scopes: parts of a workflow that are cancelled together. */

import { type Duration, msToNumber } from '@durably/common/lib/time';
import { CancelledFailure, isCancellation } from '@durably/common/lib/failure';
import { currentRun } from './runtime/current';
import { scopeStorage } from './runtime/globals';

export { isCancellation };

export interface CancellationScopeOptions {
  /** Cancels the scope when it has passed. */
  timeout?: Duration;
  /** False: what is inside goes on when the scopes around are cancelled. Default true. */
  cancellable: boolean;
  /** Default: the scope in which this one is made. */
  parent?: CancellationScope;
}

/**
 * Of the official SDK: whether a scope that isn't cancellable keeps its children from their cancelled ancestors, and a time-out's
 * timer is cancelled when it is no longer needed.
 */
const SCOPES_ARE_TIDY = 1;

type Listener = (error: unknown) => void;

/**
 * A part of a workflow that is cancelled together. Timers, activities and conditions belong to the scope in which they
 * are begun, and are cancelled with it.
 */
export class CancellationScope {
  readonly cancellable: boolean;
  readonly parent?: CancellationScope;
  /** Rejected with a `CancelledFailure` when the scope, or one around it, is cancelled. */
  readonly cancelRequested: Promise<never>;
  private readonly timeout: number | undefined;
  private requested = false;
  private reject!: (error: unknown) => void;
  private readonly listeners = new Set<Listener>();

  constructor(options?: Partial<CancellationScopeOptions> & { isRoot?: boolean }) {
    this.timeout = options?.timeout === undefined ? undefined : msToNumber(options.timeout);
    this.cancellable = options?.cancellable ?? true;
    this.cancelRequested = new Promise<never>((_, reject) => {
      this.reject = (error) => {
        this.requested = true;
        reject(error);
      };
    });
    // One reaction for all that waits, which leaves when it is done: a long run doesn't gather what it once waited for.
    this.cancelRequested.catch((error: unknown) => {
      for (const listener of [...this.listeners]) listener(error);
      this.listeners.clear();
    });
    if (options?.isRoot) return;
    const parent = options?.parent ?? CancellationScope.current();
    this.parent = parent;
    const inherits =
      parent.cancellable ||
      (parent.requested && !currentRun('CancellationScope').hasFlag(SCOPES_ARE_TIDY));
    if (inherits) {
      this.requested = parent.requested;
      if (parent.requested) parent.cancelRequested.catch((error: unknown) => this.reject(error));
      else parent.listeners.add((error) => this.reject(error));
    }
  }

  /** Whether what is inside counts as cancelled. */
  get consideredCancelled(): boolean {
    return this.requested && this.cancellable;
  }

  /** Runs the function inside this scope, and resolves or rejects as it does. */
  run<T>(fn: () => Promise<T>): Promise<T> {
    return scopeStorage().run(this, () => this.runTimed(fn));
  }

  /** As `run`, for functions that never ask for the current scope. */
  async runTimed<T>(fn: () => Promise<T>): Promise<T> {
    let timer: CancellationScope | undefined;
    if (this.timeout) {
      timer = new CancellationScope({ parent: this });
      const run = currentRun('CancellationScope.withTimeout');
      run.sleep(this.timeout, timer).then(
        () => this.cancel(),
        () => undefined,
      );
    }
    try {
      return await fn();
    } finally {
      if (timer && !timer.consideredCancelled && currentRun('CancellationScope').hasFlag(SCOPES_ARE_TIDY)) timer.cancel();
    }
  }

  /** Cancels everything inside. */
  cancel(): void {
    this.reject(new CancelledFailure('Cancellation scope cancelled'));
  }

  /** @internal */
  cancelWith(error: CancelledFailure): void {
    this.reject(error);
  }

  /** @internal Calls back when cancelled; the function that is returned takes it back. */
  onCancel(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The scope that the calling code is in. */
  static current(): CancellationScope {
    return scopeStorage().getStore() ?? currentRun('CancellationScope.current').rootScope;
  }

  /** Runs the function in a new scope that is cancelled with the ones around it. */
  static cancellable<T>(fn: () => Promise<T>): Promise<T> {
    return new this({ cancellable: true }).run(fn);
  }

  /** Runs the function in a new scope that outlasts the cancellation of those around it: to clean up. */
  static nonCancellable<T>(fn: () => Promise<T>): Promise<T> {
    return new this({ cancellable: false }).run(fn);
  }

  /** Runs the function in a new scope that is cancelled after the time. */
  static withTimeout<T>(timeout: Duration, fn: () => Promise<T>): Promise<T> {
    return new this({ cancellable: true, timeout }).run(fn);
  }
}
