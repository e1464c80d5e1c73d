/**
 * One workflow run: applies the jobs of activations, and collects the commands that its code issues.
 *
 * How many times a continuation passes through the microtask queue decides the order of commands, so it must not change
 * between releases: histories would no longer replay.
 */

import type { FailureConverter, PayloadConverter } from '@durably/common';
import { cutoffStackTrace, defaultFailureConverter } from '@durably/common/lib/converter/failure-converter';
import { requiredExport } from '@durably/common/lib/converter/data-converter';
import { about, arrayFromPayloads, defaultPayloadConverter } from '@durably/common/lib/converter/payload-converter';
import {
  ActivityFailure,
  CancelledFailure,
  TemporalFailure,
  ensureTemporalFailure,
  isCancellation,
} from '@durably/common/lib/failure';
import { msToTs, tsToMs } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import { CancellationScope } from '../cancellation-scope';
import { ContinueAsNew, DeterminismViolationError, UnhandledRejectionError } from '../errors';
import type { WorkflowInfo } from '../info';
import { host, machineNow } from './globals';
import { Handlers } from './handlers';
import type { Activation, Command, Conclusion, Failure, Job, RunOptions } from './host';
import { type FixedInfo, makeInfo } from './make-info';
import { withAdvice } from './names';
import { type Random, randomOf } from './random';

/** What surprises at first: errors that are no failures leave the workflow open, so that a fix can be deployed. */
function adviceOn(error: unknown): string {
  const isSdks = error instanceof DeterminismViolationError || error instanceof UnhandledRejectionError;
  const isUsers = error instanceof Error && cutoffStackTrace(host().mapStack(error.stack ?? '')) !== '';
  return isSdks || !isUsers ? '' : '; to fail the workflow instead, throw an ApplicationFailure or list the error in workflowFailureErrorTypes';
}

/** With the causes: "Activity task failed" alone says little. */
function describeRejection(reason: unknown): string {
  const messages: string[] = [];
  for (let of = reason; of instanceof Error && messages.length < 5; of = of.cause) {
    messages.push(of instanceof ActivityFailure ? `${of.message} (${of.activityType})` : of.message);
  }
  return messages.join(': ') || String(reason);
}

/** Of the official SDK: all jobs of an activation are applied before any continuation runs. */
const SINGLE_BATCH = 2;

type Settle = { resolve: (value: any) => void; reject: (error: unknown) => void };
/** Something that the code waits for; `at` knows where it was begun. */
type Pending = Settle & { at: Error };

export class Run {
  now = 0;
  random: Random;
  isReplaying = false;
  isQuerying = false;
  currentDetails = '';
  payloadConverter: PayloadConverter = defaultPayloadConverter;
  failureConverter: FailureConverter = defaultFailureConverter;
  readonly handlers = new Handlers(this);
  /** Of `setTimeout`, by what it has returned. */
  readonly timeouts = new Map<number, CancellationScope>();
  /** Made while this run is current, as everything that asks for the current run. */
  rootScope!: CancellationScope;
  private workflow: ((...args: unknown[]) => unknown) | undefined;
  private fixed: FixedInfo | undefined;
  private readonly start: durably.core.v1.InitializeWorkflow;
  private readonly runStart: number;
  private activation: Activation;
  private commands: Command[] = [];
  private readonly flags = new Set<number>();
  private usedFlags: number[] = [];
  private readonly timers = new Map<number, Pending>();
  private readonly activities = new Map<number, Pending>();
  private readonly conditions = new Map<number, Settle & { fn: () => boolean; at: Error }>();
  private readonly last = { timer: 0, activity: 0, condition: 0 };
  private closed = false;
  private cancelled = false;
  private taskError: { error: unknown } | undefined;

  constructor(private readonly options: RunOptions) {
    const { activation, runId } = options;
    this.activation = activation;
    this.now = tsToMs(activation.timestamp);
    this.runStart = this.now;
    const start = activation.jobs.find((job) => job.initialize)?.initialize;
    if (start === undefined) throw new TypeError(`run ${runId} is not known here, and the activation doesn't start it`);
    this.start = start;
    this.random = randomOf(start.randomnessSeed);
  }

  /** Makes the user's modules. They may compute with dates and random numbers already. */
  private load(): void {
    this.rootScope = new CancellationScope({ isRoot: true });
    const { workflows, payloadConverter, failureConverter } = this.options.instantiate();
    if (payloadConverter) {
      const methods = ['toPayload', 'fromPayload'];
      this.payloadConverter = requiredExport(payloadConverter, 'payloadConverterPath', 'payloadConverter', methods);
    }
    if (failureConverter) {
      const methods = ['errorToFailure', 'failureToError'];
      this.failureConverter = requiredExport(failureConverter, 'failureConverterPath', 'failureConverter', methods);
    }
    this.workflow = this.find(workflows);
  }

  /** The workflow among what the modules export: by its name, or the default export for all others. */
  private find(workflows: Record<string, unknown>): (...args: unknown[]) => unknown {
    const type = this.start.workflowType;
    const found = (Object.hasOwn(workflows, type) ? workflows[type] : undefined) ?? workflows['default'];
    if (typeof found === 'function') return found as (...args: unknown[]) => unknown;
    const known = Object.keys(workflows).filter((name) => typeof workflows[name] === 'function');
    throw new TypeError(
      `Failed to initialize workflow of type '${type}': no such function is exported by the workflow bundle; ` +
        `there are: ${known.join(', ') || 'none'}`,
    );
  }

  private get fixedInfo(): FixedInfo {
    // Memo and search attributes are decoded by those who ask.
    return (this.fixed ??= makeInfo(
      this.start,
      this.options.runId,
      new Date(this.runStart),
      this.payloadConverter,
      this.failureConverter,
    ));
  }

  get info(): WorkflowInfo {
    const { activation } = this;
    return {
      ...this.fixedInfo,
      currentBuildId: this.options.buildId || undefined,
      historyLength: Number(activation.historyLength),
      historySize: Number(activation.historySizeBytes),
      continueAsNewSuggested: activation.continueAsNewSuggested,
      unsafe: { now: machineNow, isReplaying: this.isReplaying },
    };
  }

  // -- Activations

  /** Takes what is new (the first time, the user's modules), and tells the groups of jobs after each of which continuations run. */
  begin(activation: Activation): Job[][] {
    this.activation = activation;
    this.isReplaying = activation.isReplaying;
    if (activation.timestamp) this.now = tsToMs(activation.timestamp);
    this.commands = [];
    this.usedFlags = [];
    this.taskError = undefined;
    for (const flag of activation.availableFlags) this.flags.add(flag);
    try {
      if (this.workflow === undefined) this.load();
    } catch (error) {
      this.failTask(error);
      return [];
    }
    const signals = activation.jobs.filter((job) => job.signal);
    const others = activation.jobs.filter((job) => !job.signal);
    this.isQuerying = others.some((job) => job.query);
    if (signals.length === 0 || this.hasFlag(SINGLE_BATCH)) return [activation.jobs];
    return others.length === 0 ? [signals] : [signals, others];
  }

  apply(jobs: readonly Job[]): void {
    try {
      for (const job of jobs) {
        if (this.closed && !job.query) return;
        this.applyJob(job);
        if (!job.query) this.unblock();
      }
    } catch (error) {
      this.failTask(error);
    }
  }

  private applyJob(job: Job): void {
    if (job.resolveActivity) this.resolveActivity(job.resolveActivity);
    else if (job.fireTimer) this.take(this.timers, job.fireTimer.seq)?.resolve(undefined);
    else if (job.signal) this.handlers.signal(job.signal);
    else if (job.query) this.handlers.query(job.query);
    else if (job.initialize) this.startMain(job.initialize);
    else if (job.cancel) {
      this.cancelled = true;
      this.rootScope.cancelWith(new CancelledFailure('Workflow cancelled'));
    } else if (job.updateRandomSeed) this.random = randomOf(job.updateRandomSeed.randomnessSeed);
    else throw new TypeError('the core sent a job that this SDK does not know; update @durably/worker');
  }

  private startMain(start: durably.core.v1.InitializeWorkflow): void {
    const main = async () => await this.workflow?.(...arrayFromPayloads(this.payloadConverter, start.arguments));
    // The turn in between is one that the official SDK takes to log.
    const ended = main().then((result) => result);
    ended.then(
      (result) => this.complete(result),
      (error: unknown) => this.fail(error),
    );
  }

  private resolveActivity(job: durably.core.v1.ResolveActivity): void {
    const pending = this.take(this.activities, job.seq);
    if (pending === undefined) return;
    const { completed, failed, cancelled } = job.result ?? {};
    if (completed) {
      pending.resolve(completed.result ? this.payloadConverter.fromPayload(completed.result) : undefined);
      return;
    }
    const failure = failed ?? cancelled;
    if (!failure) throw new TypeError('the core sent an activity result without a status');
    const error = this.failureConverter.failureToError(failure, this.payloadConverter);
    // The stack of where the activity was called; where it failed, the cause's tells.
    error.stack = `${error.name}: ${error.message}\n${cutoffStackTrace(host().mapStack(pending.at.stack ?? ''))}`;
    pending.reject(error);
  }

  private take(from: Map<number, Pending>, seq: number): Pending | undefined {
    const pending = from.get(seq);
    from.delete(seq);
    return pending;
  }

  /** Settles the conditions that have become true, in the order in which they were waited for. */
  unblock(): number {
    let settled = 0;
    for (const [seq, condition] of this.conditions) {
      try {
        if (!condition.fn()) continue;
      } catch (error) {
        this.failTask(error);
        return 0;
      }
      this.conditions.delete(seq);
      condition.resolve(undefined);
      settled++;
    }
    return settled;
  }

  get hasConditions(): boolean {
    return this.conditions.size > 0;
  }

  conclude(): Conclusion {
    const { commands, usedFlags, taskError } = this;
    const failure = taskError && this.taskFailureOf(taskError.error);
    if (taskError) this.warn(`Workflow task failed, and is tried again${adviceOn(taskError.error)}`, taskError.error);
    return { commands, usedFlags, failure, pending: this.timers.size + this.activities.size + this.conditions.size };
  }

  /** A promise of this run was rejected, and nobody cared. */
  rejectionUnhandled(reason: unknown): void {
    const error = new UnhandledRejectionError(
      `Unhandled Promise rejection: ${describeRejection(reason)}. Await the promise, or catch what it is rejected with.`,
      reason,
    );
    if (reason instanceof Error) error.stack = reason.stack;
    this.failTask(error);
  }

  hasFlag(flag: number): boolean {
    if (this.flags.has(flag)) return true;
    if (this.isReplaying) return false;
    this.flags.add(flag);
    this.usedFlags.push(flag);
    return true;
  }

  // -- How it ends

  private complete(result: unknown): void {
    try {
      this.close({ completeWorkflow: { result: this.payloadConverter.toPayload(result) } });
    } catch (error) {
      this.fail(about(`The result of workflow ${this.start.workflowType}`, error));
    }
  }

  /** Ends the workflow, or fails its task, by what left the main function or a signal handler. */
  fail(error: unknown): void {
    if (error instanceof ContinueAsNew) this.close({ continueAsNew: error.command });
    else if (this.cancelled && isCancellation(error)) this.close({ cancelWorkflow: {} });
    else if (this.failsWorkflow(error)) {
      this.close({ failWorkflow: { failure: this.failureOf(ensureTemporalFailure(error)) } });
      if (!this.isReplaying) this.warn('Workflow failed', error);
    } else this.failTask(error);
  }

  private warn(message: string, error: unknown): void {
    host().log('WARN', message, { ...this.logAttributes(), error });
  }

  private failsWorkflow(error: unknown): boolean {
    if (error instanceof TemporalFailure) return true;
    const names = this.options.failureErrorTypes;
    for (let of = error; names.length > 0 && of instanceof Error; of = Object.getPrototypeOf(of)) {
      if (names.includes(of.name) || names.includes(of.constructor.name)) return true;
    }
    return false;
  }

  failTask(error: unknown): void {
    this.taskError ??= { error };
  }

  /** As `failTask`, by an error of which others that were there before are only the consequence. */
  failTaskInstead(error: unknown): void {
    this.taskError = { error };
  }

  private close(command: Command): void {
    if (this.closed) return;
    this.commands.push(command);
    this.closed = true;
    const unfinished = this.handlers.unfinished();
    if (unfinished.length > 0 && !this.isReplaying) {
      host().log(
        'WARN',
        `Workflow finished while signal handlers are still running: ${unfinished.join(', ')}. They are abandoned; end ` +
          'with `await condition(allHandlersFinished)` to let them finish, or set their unfinishedPolicy to ABANDON.',
        this.logAttributes(),
      );
    }
  }

  failureOf(error: unknown): Failure {
    for (let of = error, depth = 0; of instanceof Error && depth < 20; of = of.cause, depth++) {
      if (!(of instanceof TemporalFailure && of.failure) && of.stack) of.stack = host().mapStack(of.stack);
    }
    return this.failureConverter.errorToFailure(error, this.payloadConverter);
  }

  private taskFailureOf(error: unknown): Failure {
    withAdvice(error);
    const failure = this.failureOf(error);
    if (error instanceof Error) failure.applicationFailureInfo ??= { type: error.name };
    return failure;
  }

  logAttributes(): Record<string, unknown> {
    const { namespace, taskQueue, workflowId, workflowType } = this.start;
    return { namespace, taskQueue, workflowId, runId: this.options.runId, workflowType };
  }

  // -- Commands

  private checkWritable(): void {
    if (this.isQuerying) throw new DeterminismViolationError('Query handlers only read: they cannot wait or start anything');
  }

  private command(command: Command, at: Error, summary?: string): void {
    if (this.closed) return;
    if (this.isReplaying) command.location = host().locate(at.stack);
    if (summary) command.userMetadata = { summary: this.payloadConverter.toPayload(summary) };
    this.commands.push(command);
  }

  answer(command: Command): void {
    this.commands.push(command);
  }

  /** Resolves after the time; rejects when the scope is cancelled. */
  sleep(millis: number, scope: CancellationScope, summary?: string): Promise<void> {
    this.checkWritable();
    const seq = ++this.last.timer;
    const at = new Error();
    return new Promise((resolve, reject) => {
      if (scope.consideredCancelled) {
        scope.cancelRequested.catch(reject);
        return;
      }
      const forget = !scope.cancellable
        ? undefined
        : scope.onCancel((error) => {
            if (!this.timers.delete(seq)) return;
            this.command({ cancelTimer: { seq } }, at);
            reject(error);
          });
      this.command({ startTimer: { seq, startToFireTimeout: msToTs(Math.max(1, millis)) } }, at, summary);
      this.timers.set(seq, {
        resolve: () => {
          forget?.();
          resolve();
        },
        reject,
        at,
      });
    });
  }

  /** The number of the timer that was begun last. */
  get lastTimer(): number {
    return this.last.timer;
  }

  scheduleActivity(
    activity: durably.core.v1.IScheduleActivity,
    scope: CancellationScope,
    summary?: string,
  ): Promise<unknown> {
    this.checkWritable();
    const seq = ++this.last.activity;
    const at = new Error();
    return new Promise((resolve, reject) => {
      if (scope.consideredCancelled) {
        scope.cancelRequested.catch(reject);
        return;
      }
      const forget = !scope.cancellable
        ? undefined
        : scope.onCancel(() => {
            if (this.activities.has(seq)) this.command({ requestCancelActivity: { seq } }, at);
          });
      this.command({ scheduleActivity: { ...activity, seq } }, at, summary);
      const done =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          forget?.();
          settle(value);
        };
      this.activities.set(seq, { resolve: done(resolve), reject: done(reject), at });
    });
  }

  /** Resolves when the function returns true; it is asked whenever something has happened. */
  waitFor(fn: () => boolean, scope: CancellationScope): Promise<void> {
    this.checkWritable();
    return new Promise((resolve, reject) => {
      if (scope.consideredCancelled) {
        scope.cancelRequested.catch(reject);
        return;
      }
      const seq = ++this.last.condition;
      const forget = !scope.cancellable
        ? undefined
        : scope.onCancel((error) => {
            this.conditions.delete(seq);
            reject(error);
          });
      if (fn()) {
        forget?.();
        resolve();
        return;
      }
      const settle = () => {
        forget?.();
        resolve();
      };
      this.conditions.set(seq, { fn, resolve: settle, reject, at: new Error() });
    });
  }

  /** Where the run waits, as stack traces of the user's code. */
  stacks(): string[] {
    const all = [...this.activities.values(), ...this.timers.values(), ...this.conditions.values()];
    return all.map(({ at }) => host().mapStack(at.stack ?? ''));
  }

  isIdle(): boolean {
    return this.handlers.running.size === 0;
  }
}
