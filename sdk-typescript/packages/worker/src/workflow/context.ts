/**
 * The realm that workflow code runs in: one V8 context per worker, with built-ins that can't be changed, and the user's
 * modules made anew for each run.
 *
 * Its microtasks run when a step ends and at no other time, so a step returns when nothing in the workflow can go on.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatWithOptions, inspect, isDeepStrictEqual } from 'node:util';
import vm from 'node:vm';
import type { LogLevel, LogMetadata, Logger } from '@durably/common';
import { isError, readable, textOf } from '@durably/common/lib/failure';
import type { Activation, Bundle, Conclusion, Host, RunOptions } from '@durably/workflow/lib/runtime/host';
import type { Run } from '@durably/workflow/lib/runtime/index';
import { BUNDLE_NAME } from './bundler';
import { detached } from './detached';
import { Sampler } from './sampler';
import { Positions } from './source-map';

/** What the code in `workflow-runtime.js` exports. */
type Runtime = typeof import('@durably/workflow/lib/runtime/index');
type BundleFunction = (
  require: unknown,
  module: { exports: unknown },
  exports: object,
  globalThis: object,
  global: object,
  Reflect: object,
) => void;

/** Classes that a context lacks, from this realm; workflows get subclasses of them. */
const FOREIGN = { TextEncoder, TextDecoder, URL, URLSearchParams };
/** What calls into the context; not visible to workflows as anything that they could use. */
const SLOT = '__durably_step';

export interface ContextOptions {
  code: string;
  logger: Logger;
  /** How long a step may take before its workflow task fails; 0 for no limit. */
  timeout: number;
  /** Ends what is said of one that takes longer. */
  advice?: string;
}

/** A workflow blocked the worker for too long. */
export class DeadlockError extends Error {
  override readonly name = 'DeadlockError';
  /** Whether its stack has the line of the user's code. Not a field: logs would show it. */
  #isPlaced = false;

  get isPlaced(): boolean {
    return this.#isPlaced;
  }

  place(stack: string, isPlaced: boolean): void {
    this.stack = `${this.name}: ${this.message}\n${stack}`;
    this.#isPlaced = isPlaced;
  }
}

export class WorkflowContext {
  private readonly context: vm.Context;
  private readonly script = new vm.Script(`${SLOT}.call()`, { filename: 'step.js' });
  private readonly slot: { call: () => void } = { call: () => {} };
  private readonly runtime: Runtime;
  private readonly bundle: BundleFunction;
  private readonly positions: Positions;
  /** The promises of the context, to tell its rejections from others. */
  readonly Promise: PromiseConstructor;

  /** What holds for the activation under way. */
  private timeout: number;

  constructor(private readonly options: ContextOptions) {
    this.timeout = options.timeout;
    const globals: Record<string, unknown> = { ...FOREIGN };
    Object.defineProperty(globals, SLOT, { value: this.slot, enumerable: false });
    this.context = vm.createContext(globals, {
      name: 'durably workflows',
      microtaskMode: 'afterEvaluate',
      // Code made of strings would reach the global object, which can't be frozen.
      codeGeneration: { strings: false, wasm: false },
    });
    this.positions = new Positions(options.code);
    this.runtime = this.load(join(__dirname, '..', 'workflow-runtime.js'));
    this.Promise = vm.runInContext('Promise', this.context) as PromiseConstructor;
    // None of the user's code: on a busy machine it may take longer than that may.
    this.step(() => this.runtime.install(this.host(), [...Object.keys(FOREIGN), SLOT]), 0);
    this.bundle = this.evaluate(options.code);
  }

  private evaluate(code: string): BundleFunction {
    const advice = 'the workflow bundle is not one: make it with bundleWorkflowCode of @durably/worker';
    let bundled: unknown;
    try {
      bundled = new vm.Script(code, { filename: BUNDLE_NAME }).runInContext(this.context);
    } catch (error) {
      throw new TypeError(`${advice} (${(error as Error).message})`);
    }
    if (typeof bundled !== 'function') throw new TypeError(advice);
    return bundled as BundleFunction;
  }

  private load(path: string): Runtime {
    const code = `(function (exports, module) { ${readFileSync(path, 'utf8')}\nreturn module.exports; })`;
    const module = { exports: {} };
    const make = vm.runInContext(code, this.context, { filename: 'workflow-runtime.js' }) as (
      exports: object,
      module: { exports: object },
    ) => Runtime;
    return make(module.exports, module);
  }

  private host(): Host {
    const { logger } = this.options;
    const { copy } = this;
    const mapStack = (stack: string) => this.positions.mapStack(stack);
    return {
      log: (level: LogLevel, message: string, meta: LogMetadata) => logger.log(level, message, copy(meta) as LogMetadata),
      console: (method, args) => console[method](...args.map(copy)),
      locate: (stack) => this.positions.locate(stack),
      mapStack,
      inspect: (value) => inspect(copy(value), { customInspect: false }),
      format: (args) => formatWithOptions({ customInspect: false }, ...args.map(copy)),
      isDeepStrictEqual,
      AsyncLocalStorage,
    };
  }

  /** Calls into the context, and runs all that becomes ready by it. */
  private step<T>(fn: () => T, timeout = this.timeout): T {
    let result: { value: T } | undefined;
    this.slot.call = () => {
      result = { value: fn() };
    };
    try {
      this.script.runInContext(this.context, timeout > 0 ? { timeout } : {});
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      // What is left of the step must not run as part of the next.
      this.slot.call = () => {};
      try {
        this.script.runInContext(this.context, { timeout: 100 });
      } catch {
        // It was cut off too; then there is nothing left of it.
      }
      throw this.deadlock(timeout);
    } finally {
      this.slot.call = () => {};
    }
    return result!.value;
  }

  private deadlock(timeout: number): DeadlockError {
    return new DeadlockError(
      `Workflow code did not yield for ${timeout / 1000} s, and nothing else could run in this process. ` +
        `Look for an endless loop, or for heavy computation, which belongs into an activity.${this.options.advice ?? ''}`,
    );
  }

  /** A new run, which has to be activated next. */
  createRun(options: Omit<RunOptions, 'instantiate'>): Run {
    const instantiate = (): Bundle => {
      const module = { exports: {} as Bundle };
      const globals = this.runtime.runGlobals();
      this.bundle(this.runtime.requireModule, module, module.exports, globals, globals, globals.Reflect);
      return module.exports;
    };
    return this.runtime.createRun({ ...options, instantiate });
  }

  /**
   * Applies an activation; `conclude` tells what came of it. Throws only a `DeadlockError`, which it tells too: with the
   * user's stack, if it is sampled. `timeout` is that of this activation, if it has one of its own.
   */
  activate(run: Run, activation: Activation, sampled: boolean, timeout = this.options.timeout): void {
    const { runtime } = this;
    const sampler = sampled ? new Sampler() : undefined;
    this.timeout = timeout;
    const deadline = performance.now() + timeout;
    try {
      runtime.enter(run);
      sampler?.start();
      // A step that can be interrupted costs a thread: most activations are one.
      const [, ...others] = this.step(() => {
        const batches = run.begin(activation);
        if (batches[0]) run.apply(batches[0]);
        return batches;
      });
      this.settleConditions(run, deadline);
      for (const jobs of others) {
        this.step(() => run.apply(jobs));
        this.settleConditions(run, deadline);
      }
      const { updates } = run.handlers;
      if (updates.areBuffered) this.step(() => updates.rejectBuffered());
    } catch (error) {
      const seen = sampler?.stop();
      if (error instanceof DeadlockError && seen?.stack) error.place(this.positions.mapStack(seen.stack), seen.isPlaced);
      run.outcome.failTask(error);
      if (error instanceof DeadlockError) throw error;
    } finally {
      this.timeout = this.options.timeout;
      sampler?.stop();
      runtime.leave(run);
    }
  }

  /** Conditions that settle each other for ever are a loop too, of which no step takes long. */
  private settleConditions(run: Run, deadline: number): void {
    const { commands } = run;
    while (commands.hasConditions && this.step(() => commands.settleConditions()) > 0) {
      if (this.timeout > 0 && performance.now() > deadline) throw this.deadlock(this.timeout);
    }
  }

  /** What came of the activation. If its task failed, with copies of what there is to log. */
  conclude(run: Run): Conclusion {
    const { runtime } = this;
    try {
      runtime.enter(run);
      if (!run.outcome.mayHaveFailed) return run.conclude();
      const conclusion = this.step(() => run.conclude());
      const { failed } = conclusion;
      return failed ? { ...conclusion, failed: { ...failed, error: this.copy(failed.error) } } : conclusion;
    } catch (error) {
      // The user's converters don't yield, or what was thrown can't be looked at.
      const read = readable(error);
      const { name, message } = isError(read) ? read : new Error(textOf(read));
      const failure = { source: 'TypeScriptSDK', message, applicationFailureInfo: { type: name } };
      return { commands: [], usedFlags: [], failed: { failure, error: read, advice: '' }, pending: 0 };
    } finally {
      runtime.leave(run);
    }
  }

  private readonly copy = (value: unknown): unknown => detached(value, (stack) => this.positions.mapStack(stack));

  mapStack(stack: string): string {
    return this.positions.mapStack(stack);
  }
}
