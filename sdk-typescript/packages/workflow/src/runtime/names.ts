/** Names that workflow code may look for in vain, and what to do instead. */

import { ApplicationFailure } from '@durably/common/lib/failure';

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

/** Functions of `@temporalio/workflow` that this release lacks. */
const NOT_THERE: readonly string[] = [
  'createEventGroup',
  'createNexusServiceClient',
  'defineWorkflowOptions',
  'deprecatePatch',
  'getRandomStream',
  'patched',
  'proxyLocalActivities',
  'proxySinks',
  'scheduleLocalActivity',
  'setWorkflowOptions',
  'upsertMemo',
  'upsertSearchAttributes',
];

/** Its objects that this release lacks: a workflow reads a property of them, as an argument of a call that is not there either. */
const OBJECTS_NOT_THERE: readonly string[] = [
  'NexusOperationCancellationType',
  'metricMeter',
  'workflowRandom',
];

/** The type of failures by what this release lacks. */
const MISSING_FEATURE = 'UnsupportedFeatureError';

export function isMissingFeature(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.type === MISSING_FEATURE;
}

/**
 * What stands in place of what is not there yet. Whoever calls it, or reads a property of it, fails the workflow, so that who
 * waits for it hears: no retry of a task would help.
 */
export function missingFeatures(): Record<string, unknown> {
  const refuse = (name: string): never => {
    const message = `${name} is not in this release of @durably/workflow; its README lists what is not there yet`;
    throw ApplicationFailure.nonRetryable(message, MISSING_FEATURE);
  };
  const object = (name: string) =>
    // What asks by a symbol only wants to show it, or to load its module.
    new Proxy(Object.freeze({}), { get: (_, key) => (typeof key === 'symbol' ? undefined : refuse(name)) });
  return Object.fromEntries([
    ...NOT_THERE.map((name) => [name, () => refuse(name)]),
    ...OBJECTS_NOT_THERE.map((name) => [name, object(name)]),
  ]) as Record<string, unknown>;
}

/** The error's message, and for what workflows don't have, what to use instead. */
export function withAdvice(error: unknown): void {
  const advice = adviceOn(error);
  if (advice === undefined) return;
  const { message } = error as Error;
  (error as Error).message = `${message}: ${advice}`;
  // The stack begins with the message as it was.
  const { stack } = error as Error;
  if (stack) (error as Error).stack = stack.replace(message, `${message}: ${advice}`);
}

function adviceOn(error: unknown): string | undefined {
  if (error instanceof ReferenceError) {
    const name = /^(\w+) is not defined/.exec(error.message)?.[1] ?? '';
    return Object.hasOwn(ADVICE, name) ? `workflows are deterministic and have no ${name}; ${ADVICE[name]}` : undefined;
  }
  if (!(error instanceof TypeError)) return undefined;
  const isFrozen = /object is not extensible|Cannot assign to read only property|Cannot delete property/.test(error.message);
  return isFrozen ? 'what the runs of a worker share (built-ins, @durably/*) is frozen; keep state in variables of your own' : undefined;
}

/** The error that the official SDK answers a query without a handler with. */
export class ReferenceErrorMessage extends ReferenceError {
  override readonly name = 'ReferenceError';
}
