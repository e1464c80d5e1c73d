/**
 * One workflow run: makes the user's modules, and applies the jobs of activations. What its code asks for is in
 * `commands` and `children`, what reaches it from outside in `handlers`, and how it ends in `outcome`.
 *
 * How many times a continuation passes through the microtask queue decides the order of commands, so it must not change
 * between releases: histories would no longer replay.
 */

import type { FailureConverter, PayloadConverter } from '@durably/common';
import { cutoffStackTrace, defaultFailureConverter } from '@durably/common/lib/converter/failure-converter';
import { requiredExport } from '@durably/common/lib/converter/data-converter';
import { arrayFromPayloads, defaultPayloadConverter } from '@durably/common/lib/converter/payload-converter';
import { CancelledFailure, TemporalFailure } from '@durably/common/lib/failure';
import { composeInterceptors } from '@durably/common/lib/interceptors';
import { tsToMs } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import { CancellationScope } from '../cancellation-scope';
import type { WorkflowInfo } from '../info';
import { type Inbound, type Outbound, type StartedChild, promised } from './chains';
import { Children } from './children';
import { Commands } from './commands';
import { host, machineNow, machineRandom } from './globals';
import { Handlers } from './handlers';
import type { Activation, Conclusion, Failure, Job, RunOptions } from './host';
import { type FixedInfo, makeInfo } from './make-info';
import { Outcome } from './outcome';
import { type Random, randomOf } from './random';
import { ReadOnly } from './read-only';

/** Of the official SDK: all jobs of an activation are applied before any continuation runs. */
const SINGLE_BATCH = 2;

export class Run {
  now = 0;
  isReplaying = false;
  currentDetails = '';
  payloadConverter: PayloadConverter = defaultPayloadConverter;
  failureConverter: FailureConverter = defaultFailureConverter;
  readonly readOnly = new ReadOnly();
  readonly commands = new Commands(this);
  readonly children = new Children(this);
  readonly handlers = new Handlers(this);
  readonly outcome = new Outcome(this);
  /** What stands around the user's functions, and around what they ask for; the outermost is first. None yet. */
  readonly interceptors: { readonly inbound: readonly Partial<Inbound>[]; readonly outbound: readonly Partial<Outbound>[] } = {
    inbound: [],
    outbound: [],
  };
  /** Made while this run is current, as everything that asks for the current run. */
  rootScope!: CancellationScope;
  private seeded: Random;
  private workflow: ((...args: unknown[]) => unknown) | undefined;
  private fixed: FixedInfo | undefined;
  private readonly start: durably.core.v1.InitializeWorkflow;
  private readonly runStart: number;
  private activation: Activation;
  private readonly flags = new Set<number>();
  private usedFlags: number[] = [];

  constructor(readonly options: RunOptions) {
    const { activation, runId } = options;
    this.activation = activation;
    this.now = tsToMs(activation.timestamp);
    this.runStart = this.now;
    const start = activation.jobs.find((job) => job.initialize)?.initialize;
    if (start === undefined) throw new TypeError(`run ${runId} is not known here, and the activation doesn't start it`);
    this.start = start;
    this.seeded = randomOf(start.randomnessSeed);
  }

  /** What draws from it shifts all that follows: what a replay doesn't run again draws elsewhere. */
  get random(): Random {
    return this.readOnly.isInForce ? machineRandom : this.seeded;
  }

  // -- The user's code

  /** Makes the user's modules. They may compute with dates and random numbers already. */
  private load(): Record<string, unknown> {
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
    return workflows;
  }

  /** The workflow among what the modules export: by its name, or the default export for all others. */
  private find(workflows: Record<string, unknown>): (...args: unknown[]) => unknown {
    const type = this.workflowType;
    const found = (Object.hasOwn(workflows, type) ? workflows[type] : undefined) ?? workflows['default'];
    if (typeof found === 'function') return found as (...args: unknown[]) => unknown;
    const known = Object.keys(workflows).filter((name) => typeof workflows[name] === 'function');
    throw new TypeError(
      `Failed to initialize workflow of type '${type}': no such function is exported by the workflow bundle; ` +
        `there are: ${known.join(', ') || 'none'}`,
    );
  }

  /** Whether the code is there; if not, the outcome says why. */
  private ensureLoaded(): boolean {
    if (this.workflow !== undefined) return true;
    let workflows: Record<string, unknown>;
    try {
      workflows = this.load();
    } catch (error) {
      this.outcome.failLoading(error);
      return false;
    }
    try {
      this.workflow = this.find(workflows);
      return true;
    } catch (error) {
      // Another deployment may have it.
      this.outcome.failTask(error);
      return false;
    }
  }

  private startMain(start: durably.core.v1.InitializeWorkflow): void {
    const execute = this.inbound('execute', async ({ args }) => await this.workflow?.(...args));
    const main = promised(() => {
      const args = arrayFromPayloads(this.payloadConverter, start.arguments);
      return execute({ args, headers: start.headers });
    });
    // The turn in between is one that the official SDK takes to log.
    const ended = main.then((result) => result);
    ended.then(
      (result) => this.outcome.complete(result),
      (error: unknown) => this.outcome.fail(error),
    );
  }

  /** The function with the interceptors of what comes in around it. */
  inbound<M extends keyof Inbound>(method: M, last: Inbound[M]): Inbound[M] {
    return composeInterceptors<Inbound, M>(this.interceptors.inbound as Inbound[], method, last as never) as Inbound[M];
  }

  /** The function with the interceptors of what the code asks for around it. */
  outbound<M extends keyof Outbound>(method: M, last: Outbound[M]): Outbound[M] {
    return composeInterceptors<Outbound, M>(this.interceptors.outbound as Outbound[], method, last as never) as Outbound[M];
  }

  /** Resolves after the time; rejects when the scope is cancelled. */
  sleep(millis: number, scope: CancellationScope, summary?: string): Promise<void> {
    return this.outbound('startTimer', (input) => this.commands.startTimer(input))({ millis, scope, summary });
  }

  scheduleActivity(
    activity: durably.core.v1.IScheduleActivity,
    scope: CancellationScope,
    summary?: string,
  ): Promise<unknown> {
    const schedule = this.outbound('scheduleActivity', (input) => this.commands.scheduleActivity(input));
    return schedule({ activity, scope, summary });
  }

  startChild(
    child: durably.core.v1.IStartChildWorkflow,
    scope: CancellationScope,
    { summary, details }: { summary: string | undefined; details: string | undefined },
  ): Promise<StartedChild> {
    const start = this.outbound('startChildWorkflowExecution', (input) => this.children.startChildWorkflowExecution(input));
    return start({ child, scope, summary, details });
  }

  signalWorkflow(signal: durably.core.v1.ISignalExternalWorkflow, scope: CancellationScope): Promise<void> {
    return this.outbound('signalWorkflow', (input) => this.children.signalWorkflow(input))({ signal, scope });
  }

  // -- Activations

  /** Takes what is new (the first time, the user's modules), and tells the groups of jobs after each of which continuations run. */
  begin(activation: Activation): Job[][] {
    this.activation = activation;
    this.isReplaying = activation.isReplaying;
    if (activation.timestamp) this.now = tsToMs(activation.timestamp);
    this.commands.begin();
    this.outcome.begin();
    this.usedFlags = [];
    for (const flag of activation.availableFlags) this.flags.add(flag);
    if (!this.ensureLoaded()) return [];
    // The main function begins when all that came with its start was handled: signals and updates go before it.
    const jobs = [...activation.jobs.filter((job) => !job.initialize), ...activation.jobs.filter((job) => job.initialize)];
    const signals = jobs.filter((job) => job.signal);
    const others = jobs.filter((job) => !job.signal);
    this.readOnly.begin(others.some((job) => job.query) ? 'Query handlers' : undefined);
    if (signals.length === 0 || this.hasFlag(SINGLE_BATCH)) return [jobs];
    return others.length === 0 ? [signals] : [signals, others];
  }

  apply(jobs: readonly Job[]): void {
    try {
      for (const job of jobs) {
        if (this.outcome.isClosed && !job.query) return;
        this.applyJob(job);
        if (!job.query) this.commands.settleConditions();
      }
    } catch (error) {
      // Such as the user's converter, which can't decode a result.
      this.outcome.fail(error);
    }
  }

  private applyJob(job: Job): void {
    if (job.resolveActivity) this.commands.resolveActivity(job.resolveActivity);
    else if (job.fireTimer) this.commands.fireTimer(job.fireTimer);
    else if (job.resolveChildWorkflowStart) this.children.resolveStart(job.resolveChildWorkflowStart);
    else if (job.resolveChildWorkflow) this.children.resolveResult(job.resolveChildWorkflow);
    else if (job.resolveSignalExternalWorkflow) this.children.resolveSignal(job.resolveSignalExternalWorkflow);
    else if (job.resolveRequestCancelExternalWorkflow) this.children.resolveCancel(job.resolveRequestCancelExternalWorkflow);
    else if (job.signal) this.handlers.signal(job.signal);
    else if (job.update) this.handlers.updates.update(job.update);
    else if (job.query) this.handlers.query(job.query);
    else if (job.initialize) this.startMain(job.initialize);
    else if (job.cancel) {
      this.outcome.isCancelled = true;
      this.rootScope.cancelWith(new CancelledFailure('Workflow cancelled'));
    } else if (job.updateRandomSeed) this.seeded = randomOf(job.updateRandomSeed.randomnessSeed);
    else this.outcome.failTask(new TypeError('the core sent a job that this SDK does not know; update @durably/worker'));
  }

  /** What the activation came to. Calls the user's converters if its task failed. */
  conclude(): Conclusion {
    const failed = this.outcome.failedTask();
    if (!failed) this.outcome.warnOfUnfinished();
    return { commands: this.commands.all, usedFlags: this.usedFlags, failed, pending: this.commands.pending };
  }

  hasFlag(flag: number): boolean {
    if (this.flags.has(flag)) return true;
    if (this.isReplaying) return false;
    this.flags.add(flag);
    this.usedFlags.push(flag);
    return true;
  }

  // -- What it is

  get workflowType(): string {
    return this.start.workflowType;
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

  logAttributes(): Record<string, unknown> {
    const { namespace, taskQueue, workflowId, workflowType } = this.start;
    return { namespace, taskQueue, workflowId, runId: this.options.runId, workflowType };
  }

  /** By the user's converter, which may throw; with the stack of where the code asked. Where it failed, the cause's tells. */
  errorOf(failure: Failure, at: Error): Error {
    return this.thrownAt(this.failureConverter.failureToError(failure, this.payloadConverter), at);
  }

  thrownAt<E extends Error>(error: E, at: Error): E {
    error.stack = `${error.name}: ${error.message}\n${cutoffStackTrace(host().mapStack(at.stack ?? ''))}`;
    return error;
  }

  /** By the user's converter, which may throw; with the positions of the sources. */
  failureOf(error: unknown): Failure {
    for (let of = error, depth = 0; of instanceof Error && depth < 20; of = of.cause, depth++) {
      if (!(of instanceof TemporalFailure && of.failure) && of.stack) of.stack = host().mapStack(of.stack);
    }
    return this.failureConverter.errorToFailure(error, this.payloadConverter);
  }
}
