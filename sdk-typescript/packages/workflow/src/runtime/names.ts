/** Names that workflow code may look for in vain, and what to do instead. */

const ADVICE: Readonly<Record<string, string>> = {
  fetch: 'call it in an activity',
  process: 'pass what you need as an argument, or read it in an activity',
  Buffer: 'use Uint8Array',
  crypto: 'use uuid4() of @durably/workflow, or an activity',
  performance: 'use Date.now()',
  setInterval: 'await sleep() in a loop',
  setImmediate: 'await sleep(), or nothing',
  queueMicrotask: 'use Promise.resolve().then()',
  structuredClone: 'use JSON.parse(JSON.stringify())',
  require: 'import at the top of the module',
};

/** The error's message, and for a name that workflows don't have, what to use instead. */
export function withAdvice(error: unknown): void {
  if (!(error instanceof ReferenceError)) return;
  const name = /^(\w+) is not defined/.exec(error.message)?.[1];
  const advice = name === undefined ? undefined : ADVICE[name];
  if (advice) error.message += `: workflows are deterministic and have no ${name}; ${advice}`;
}

/** The error that the official SDK answers a query without a handler with. */
export class ReferenceErrorMessage extends ReferenceError {
  override readonly name = 'ReferenceError';
}
