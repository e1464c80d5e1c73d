/** `AbortController` and its signal, for libraries that are given one: signals are aborted by code, never by a clock. */

type AbortListener = ((event: { type: 'abort'; target: AbortSignal }) => void) | { handleEvent(event: object): void };

class AbortError extends Error {
  override readonly name = 'AbortError';
  readonly code = 20;
}

export class AbortSignal {
  #aborted = false;
  #reason: unknown;
  readonly #listeners = new Map<AbortListener, { once: boolean }>();
  onabort: AbortListener | null = null;

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  addEventListener(type: string, listener: AbortListener | null, options?: { once?: boolean } | boolean): void {
    if (type !== 'abort' || !listener) return;
    this.#listeners.set(listener, { once: typeof options === 'object' && options.once === true });
  }

  removeEventListener(_type: string, listener: AbortListener): void {
    this.#listeners.delete(listener);
  }

  static abort(reason?: unknown): AbortSignal {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  }

  /** Aborted as soon as one of them is. */
  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const controller = new AbortController();
    for (const signal of signals) {
      if (signal.aborted) controller.abort(signal.reason);
      else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
    }
    return controller.signal;
  }

  /** Only its controller aborts a signal. */
  static aborting(signal: AbortSignal, reason: unknown): void {
    if (signal.#aborted) return;
    signal.#aborted = true;
    signal.#reason = reason;
    const event = { type: 'abort' as const, target: signal };
    const called = [...signal.#listeners];
    for (const [listener, { once }] of called) if (once) signal.#listeners.delete(listener);
    if (signal.onabort) called.unshift([signal.onabort, { once: false }]);
    for (const [listener] of called) {
      if (typeof listener === 'function') listener.call(signal, event);
      else listener.handleEvent(event);
    }
  }
}

const { aborting } = AbortSignal;
Reflect.deleteProperty(AbortSignal, 'aborting');

export class AbortController {
  readonly signal = new AbortSignal();

  abort(reason: unknown = new AbortError('This operation was aborted')): void {
    aborting(this.signal, reason);
  }
}
