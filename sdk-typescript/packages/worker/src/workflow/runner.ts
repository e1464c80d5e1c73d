/** The runs that a worker has cached: applies activations to them, and answers. */

import { setFlagsFromString } from 'node:v8';
import type { FailureConverter, Logger, PayloadCodec, PayloadConverter } from '@durably/common';
import { decodePayloads, encodePayloads } from '@durably/common/lib/converter/data-converter';
import { defaultFailureConverter } from '@durably/common/lib/converter/failure-converter';
import { type ProtoFailure, readable } from '@durably/common/lib/failure';
import { type durably, mapPayloads } from '@durably/proto';
import type { Run } from '@durably/workflow/lib/runtime/index';
import { coversNondeterminism } from '../worker-options';
import { DeadlockError, type WorkflowContext } from './context';
import { FailureLog } from './failure-log';
import { SecondLook, type Trial } from './second-look';

type Activation = durably.core.v1.WorkflowActivation;
type Completion = durably.core.v1.IWorkflowCompletion;

export interface RunnerOptions {
  context: WorkflowContext;
  logger: Logger;
  payloadConverter: PayloadConverter;
  failureConverter: FailureConverter;
  codecs: readonly PayloadCodec[];
  failureErrorTypes(workflowType: string): readonly string[];
  buildId: string;
  /** Bytes that a cached run occupies before it waits for anything. */
  runWeight: number;
  /** Whether to log tasks that the core has failed. Who replays a history is told anyway. */
  tellsCoreFailures: boolean;
  /** The limit, in milliseconds, by which a step is judged that a test waits for, once it was seen to last. */
  looksTwice?: number;
  respond(completion: Completion): void;
}

const PENDING_WEIGHT = 1_000;
/** Of runs that don't yield; beyond it, some of their stacks are never seen. */
const MOST_DEADLOCKED = 100;

/** `Evict.Reason`s after which the task is tried again, and which this side may not know of. */
const NONDETERMINISM = 3;
const ACTIVATION_FAILED = 4;
const CORE_FAILED_TASK: readonly number[] = [NONDETERMINISM, ACTIVATION_FAILED];

/** Rejections of the context of the runner that has activated last belong to the run that it activated last. */
let lastActivated: { runner: WorkflowRunner; run: Run } | undefined;

export class WorkflowRunner {
  private readonly runs = new Map<string, Run>();
  /** Runs whose last task failed here: they are evicted for that, which was logged. */
  private readonly failed = new Set<string>();
  /** Runs that have not yielded, whose next attempt is sampled. */
  private readonly deadlocked = new Set<string>();
  private readonly log: FailureLog;
  private readonly secondLook: SecondLook | undefined;

  constructor(private readonly options: RunnerOptions) {
    this.log = new FailureLog(options.logger);
    this.secondLook = options.looksTwice === undefined ? undefined : new SecondLook(options.looksTwice);
    interceptRejections();
  }

  /** Begins to answer an activation. */
  handle(activation: Activation): void {
    if (this.options.codecs.length === 0) {
      this.schedule(activation);
      return;
    }
    const decode = (payloads: any[]) => decodePayloads(this.options.codecs, payloads);
    mapPayloads('durably.core.v1.WorkflowActivation', activation, decode).then(
      () => this.schedule(activation),
      (error: unknown) => this.refuse(activation.runId, error),
    );
  }

  /**
   * Applies the activation, and answers in a turn of its own: in between, Node.js tells which rejections nobody handled.
   * Both turns are of the same phase of the event loop, so nothing waits for it.
   */
  private schedule(activation: Activation): void {
    const { runId, jobs } = activation;
    const evict = jobs.find((job) => job.evict)?.evict;
    if (evict) {
      this.forget(runId, evict);
      return;
    }
    this.attempt(activation, this.secondLook?.begin(activation) ?? { earlier: [], sampled: this.deadlocked.delete(runId) });
  }

  private attempt(activation: Activation, trial: Trial): void {
    const { runId } = activation;
    let run: Run | undefined;
    let again: Trial | undefined;
    setImmediate(() => {
      const used = process.cpuUsage();
      // A loop that is replaced by optimized code while it runs is lost to the profiler of some releases (Node.js 22).
      if (this.secondLook) setFlagsFromString('--no-use-osr');
      try {
        run = this.runs.get(runId) ?? this.create(trial.earlier[0] ?? activation);
        lastActivated = { runner: this, run };
        for (const earlier of trial.earlier) {
          // Not a copy: fields that were not sent are the prototype's.
          const replayed = Object.create(earlier, { isReplaying: { value: true } }) as Activation;
          this.options.context.activate(run, replayed, false);
          if (this.options.context.conclude(run).failed) return;
        }
        this.options.context.activate(run, activation, trial.sampled, trial.timeout);
      } catch (error) {
        if (run === undefined) this.refuse(runId, error);
        if (error instanceof DeadlockError) {
          again = this.secondLook?.after(activation, trial, process.cpuUsage(used), error.isPlaced);
          if (again) this.runs.delete(runId);
          else this.remember(runId);
          recoverFromTermination();
        }
      } finally {
        if (this.secondLook) setFlagsFromString('--use-osr');
      }
    });
    setImmediate(() => {
      lastActivated = undefined;
      if (again) {
        this.attempt(activation, again);
        return;
      }
      if (run === undefined) return;
      try {
        this.answer(runId, run);
      } catch (error) {
        // Such as a command with a value that doesn't fit its field.
        this.refuse(runId, error);
      }
    });
  }

  private remember(runId: string): void {
    this.deadlocked.add(runId);
    if (this.deadlocked.size > MOST_DEADLOCKED) this.deadlocked.delete(this.deadlocked.keys().next().value!);
  }

  private forget(runId: string, { reason, message }: durably.core.v1.Evict): void {
    const run = this.runs.get(runId);
    this.runs.delete(runId);
    this.secondLook?.forget(runId);
    const isOurs = this.failed.delete(runId);
    // What the core found out about the task, such as that the code does what the history doesn't say.
    if (this.options.tellsCoreFailures && !isOurs && CORE_FAILED_TASK.includes(reason)) {
      const name = reason === NONDETERMINISM ? 'DeterminismViolationError' : 'Error';
      const error = Object.assign(new Error(message), { stack: `${name}: ${message}` });
      Object.defineProperty(error, 'name', { value: name });
      const isFinal =
        reason === NONDETERMINISM && coversNondeterminism(this.options.failureErrorTypes(run?.workflowType ?? ''));
      if (isFinal) this.options.logger.warn('Workflow failed', { ...run?.logAttributes(), runId, error });
      else this.log.failed(runId, error, run?.logAttributes() ?? {});
    }
    this.options.respond({ runId, success: {} });
  }

  private create(activation: Activation): Run {
    const { runId } = activation;
    const { context, failureErrorTypes, buildId } = this.options;
    const workflowType = activation.jobs.find((job) => job.initialize)?.initialize?.workflowType ?? '';
    const run = context.createRun({ runId, activation, failureErrorTypes: [...failureErrorTypes(workflowType)], buildId });
    this.runs.set(runId, run);
    return run;
  }

  private answer(runId: string, run: Run): void {
    const { failed, commands, usedFlags, pending } = this.options.context.conclude(run);
    const cacheBytes = this.options.runWeight + PENDING_WEIGHT * pending;
    if (failed) {
      this.failed.add(runId);
      this.log.failed(runId, failed.error, run.logAttributes(), failed.advice);
      this.send({ runId, failure: { failure: failed.failure } });
    } else {
      if (!run.isReplaying) this.log.succeeded(runId);
      this.send({ runId, success: { commands, usedFlags, cacheBytes } });
    }
  }

  private send(completion: Completion): void {
    const { codecs, respond } = this.options;
    if (codecs.length === 0) {
      respond(completion);
      return;
    }
    const encode = (payloads: any[]) => encodePayloads(codecs, payloads);
    mapPayloads('durably.core.v1.WorkflowCompletion', completion, encode)
      .then(() => respond(completion))
      .catch((error: unknown) => this.refuse(completion.runId ?? '', error));
  }

  /** Fails the workflow task by an error of the worker, or of code that belongs to no run yet. */
  private refuse(runId: string, error: unknown): void {
    const { context, failureConverter, payloadConverter, respond } = this.options;
    let failure: ProtoFailure;
    let read = readable(error);
    try {
      if (read instanceof Error && read.stack) read.stack = context.mapStack(read.stack);
      failure = failureConverter.errorToFailure(read, payloadConverter);
    } catch (why) {
      read = readable(why);
      failure = defaultFailureConverter.errorToFailure(read, payloadConverter);
    }
    this.log.failed(runId, read, {});
    this.failed.add(runId);
    respond({ runId, failure: { failure } });
  }

  /** Whether the promise is one of workflows, and the rejection was taken note of. */
  owns(promise: unknown): boolean {
    return promise instanceof this.options.context.Promise;
  }
}

/**
 * Code that was terminated inside a promise's reaction has left Node.js believing that it is still there, which would end
 * the process as soon as the turn does. Only an exception that leaves the turn makes it forget; nobody else sees this one.
 */
function recoverFromTermination(): void {
  if (process.hasUncaughtExceptionCaptureCallback()) return;
  process.setUncaughtExceptionCaptureCallback(() => process.setUncaughtExceptionCaptureCallback(null));
  throw new Error('workflow code was terminated');
}

let isIntercepting = false;

/**
 * A rejection that no workflow handled fails its task. Not a listener: one would change what becomes of all others, and
 * those of users and of test runners would hear of rejections that are none of theirs.
 */
function interceptRejections(): void {
  if (isIntercepting) return;
  isIntercepting = true;
  const emit = process.emit as (...args: any[]) => boolean;
  const intercepting = (event: string, ...args: unknown[]): boolean => {
    if (event === 'unhandledRejection' && lastActivated?.runner.owns(args[1])) {
      lastActivated.run.outcome.rejectionUnhandled(args[0]);
      return true;
    }
    return Reflect.apply(emit, process, [event, ...args]);
  };
  process.emit = intercepting as typeof process.emit;
}
