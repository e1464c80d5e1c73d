/** What the language offers that isn't the same in every replay, made so: time, randomness, timers, the console. */

import { CancellationScope } from '../cancellation-scope';
import { DeterminismViolationError } from '../errors';
import type { UpdateInfo } from '../info';
import { AbortController, AbortSignal } from './abort';
import { currentRun, maybeCurrentRun } from './current';
import type { AsyncStorage, Host } from './host';
import { webClasses } from './web';

let theHost: Host | undefined;
let storage: AsyncStorage<CancellationScope> | undefined;
let updates: AsyncStorage<UpdateInfo> | undefined;
let readers: AsyncStorage<string> | undefined;

/** The machine's clock, for `unsafe.now`. */
export const machineNow: () => number = Object.freeze(Date.now.bind(Date));

/** The engine's random numbers, for code that only reads: no replay runs it again. */
export const machineRandom: () => number = Object.freeze(Math.random.bind(Math));

export function host(): Host {
  if (theHost === undefined) throw new Error('the workflow context has no host');
  return theHost;
}

export function scopeStorage(): AsyncStorage<CancellationScope> {
  if (storage === undefined) throw new DeterminismViolationError('Workflow APIs may only be used from a Workflow Execution');
  return storage;
}

/** Which update the calling code handles. */
export function updateStorage(): AsyncStorage<UpdateInfo> {
  if (updates === undefined) throw new DeterminismViolationError('Workflow APIs may only be used from a Workflow Execution');
  return updates;
}

/** Of code that only reads: what it is. */
export function readerStorage(): AsyncStorage<string> {
  if (readers === undefined) throw new DeterminismViolationError('Workflow APIs may only be used from a Workflow Execution');
  return readers;
}

/** Replaces globals of the context. Called once, before any code of users. */
export function installGlobals(host: Host): void {
  theHost = host;
  storage = new host.AsyncLocalStorage<CancellationScope>();
  updates = new host.AsyncLocalStorage<UpdateInfo>();
  readers = new host.AsyncLocalStorage<string>();
  const globals = globalThis as Record<string, unknown>;
  globals['Date'] = deterministicDate(Date);
  Math.random = () => currentRun('Math.random').random();
  globals['setTimeout'] = setTimeout;
  globals['clearTimeout'] = clearTimeout;
  globals['console'] = consoleOf(host);
  globals['queueMicrotask'] = (callback: () => void) => void Promise.resolve().then(callback);
  Object.assign(globals, webClasses(globalThis), { AbortController, AbortSignal });
  // When the garbage collector runs is nothing that a workflow may depend on.
  for (const name of ['WeakRef', 'FinalizationRegistry']) {
    globals[name] = function forbidden(): never {
      throw new DeterminismViolationError(`${name} cannot be used in workflows: garbage collection is not deterministic`);
    };
  }
}

/** `Date` whose present is the time of the workflow task. */
function deterministicDate(Real: DateConstructor): DateConstructor {
  const now = () => currentRun('Date').now;
  function WorkflowDate(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return new Real(now()).toString();
    return Reflect.construct(Real, args.length === 0 ? [now()] : args, new.target);
  }
  const replaced = WorkflowDate as unknown as DateConstructor;
  Object.defineProperties(replaced, {
    name: { value: 'Date' },
    length: { value: 7 },
    prototype: { value: Real.prototype, writable: false },
    now: { value: now, configurable: true, writable: true },
    parse: { value: Real.parse, configurable: true, writable: true },
    UTC: { value: Real.UTC, configurable: true, writable: true },
  });
  Object.defineProperty(Real.prototype, 'constructor', { value: replaced, configurable: true, writable: true });
  return replaced;
}

/** A durable timer with a callback, in a scope of its own: cancelled with the scope around it, and by `clearTimeout`. */
function setTimeout(callback: (...args: unknown[]) => unknown, delay?: number, ...args: unknown[]): number {
  const run = currentRun('setTimeout');
  const scope = new CancellationScope();
  const slept = scope.runTimed(() => run.sleep(Math.max(1, Number(delay) || 0), scope));
  const { timeouts, lastTimer: handle } = run.commands;
  timeouts.set(handle, scope);
  slept.then(
    () => {
      timeouts.delete(handle);
      callback(...args);
    },
    () => timeouts.delete(handle),
  );
  return handle;
}

function clearTimeout(handle: unknown): void {
  const { timeouts } = currentRun('clearTimeout').commands;
  const scope = timeouts.get(handle as number);
  timeouts.delete(handle as number);
  scope?.cancel();
}

/** Lines of a workflow's console appear once, with its name, and not again in replays. */
function consoleOf(host: Host): Record<string, unknown> {
  const methods = ['debug', 'error', 'info', 'log', 'warn'] as const;
  return Object.fromEntries(
    methods.map((method) => [
      method,
      (...args: unknown[]) => {
        const run = maybeCurrentRun();
        if (run?.isReplaying) return;
        host.console(method, run ? [`[${run.info.workflowType}(${run.info.workflowId})]`, ...args] : args);
      },
    ]),
  );
}
