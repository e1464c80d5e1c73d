/**
 * How a run ends, or why its task fails.
 *
 * Failures of workflows (`TemporalFailure`) end it; all other errors fail the task, so that a fix can be deployed, unless
 * the user has listed them. That holds for whatever of the user's code throws: the main function, signal handlers,
 * conditions, converters of inputs and results.
 */

import { cutoffStackTrace } from '@durably/common/lib/converter/failure-converter';
import { about } from '@durably/common/lib/converter/payload-converter';
import { ActivityFailure, ChildWorkflowFailure, TemporalFailure, ensureTemporalFailure, isCancellation, isError, readable, textOf } from '@durably/common/lib/failure';
import { ContinueAsNew, DeterminismViolationError, UnhandledRejectionError } from '../errors';
import { host } from './globals';
import type { Command, Failure, FailedTask } from './host';
import { isMissingFeature, withAdvice } from './names';
import type { Run } from './run';

export class Outcome {
  isClosed = false;
  /** The run was asked to cancel itself. */
  isCancelled = false;
  /** The run ends with this activation, and not by failing. */
  private mayAbandon = false;
  private taskError: { error: unknown } | undefined;
  private rejection: { reason: unknown } | undefined;

  constructor(private readonly run: Run) {}

  begin(): void {
    this.taskError = undefined;
    this.rejection = undefined;
  }

  complete(result: unknown): void {
    try {
      this.close({ completeWorkflow: { result: this.run.payloadConverter.toPayload(result) } });
    } catch (error) {
      this.fail(about(`The result of workflow ${this.run.workflowType}`, error));
    }
  }

  /** Ends the workflow, or fails its task, by what left the user's code. */
  fail(thrown: unknown): void {
    const error = readable(thrown);
    if (error instanceof ContinueAsNew) this.close({ continueAsNew: error.command });
    else if (this.isCancelled && isCancellation(error)) this.close({ cancelWorkflow: {} });
    else if (error instanceof TemporalFailure || this.isListed(error)) this.failWorkflow(error);
    else this.failTask(error);
  }

  /** As `fail`, for what the user's modules throw when they are made. Only what can't change fails the workflow. */
  failLoading(thrown: unknown): void {
    const error = readable(thrown);
    if (isMissingFeature(error) || this.isListed(error)) this.failWorkflow(error);
    else this.failTask(error);
  }

  private failWorkflow(error: unknown): void {
    if (this.isClosed) return;
    let failure: Failure;
    try {
      failure = this.run.failureOf(ensureTemporalFailure(error));
    } catch (why) {
      // With another converter nothing of it is lost.
      this.failTask(why);
      return;
    }
    this.close({ failWorkflow: { failure } });
    if (!this.run.isReplaying) host().log('WARN', 'Workflow failed', { ...this.run.logAttributes(), error });
  }

  /** Whether the user has listed the error's class, or one that it extends, among those that fail workflows. */
  private isListed(error: unknown): boolean {
    const names = this.run.options.failureErrorTypes;
    if (names.length === 0 || !isError(error)) return false;
    // The name by which the official SDK lists it.
    if (error instanceof DeterminismViolationError && names.includes('NondeterminismError')) return true;
    for (let of: Error | null = error; of !== null; of = Object.getPrototypeOf(of) as Error | null) {
      if (names.includes(of.name) || names.includes(of.constructor?.name)) return true;
    }
    return false;
  }

  failTask(error: unknown): void {
    this.taskError ??= { error: readable(error) };
  }

  /** As `failTask`, by an error of which others that were there before are only the consequence. */
  failTaskInstead(error: unknown): void {
    this.taskError = { error: readable(error) };
  }

  /** A promise of this run was rejected, and nobody cared. */
  rejectionUnhandled(reason: unknown): void {
    if (this.run.readOnly.isAnswered(reason)) return;
    this.rejection ??= { reason: readable(reason) };
  }

  private judgeRejection(): void {
    if (this.rejection === undefined) return;
    const { reason } = this.rejection;
    const error = new UnhandledRejectionError(
      `Unhandled Promise rejection: ${describeRejection(reason)}. Await the promise, or catch what it is rejected with.`,
      reason,
    );
    if (reason instanceof Error) error.stack = reason.stack;
    if (this.isListed(reason)) this.failWorkflow(reason);
    else if (this.isListed(error)) this.failWorkflow(error);
    else this.failTask(error);
  }

  private close(command: Command): void {
    if (this.isClosed) return;
    this.run.commands.push(command);
    this.isClosed = true;
    // Who fails has not forgotten them.
    this.mayAbandon = !command.failWorkflow;
  }

  /** At the end of the activation in which the run has: until then handlers may have finished too. */
  warnOfUnfinished(): void {
    if (!this.mayAbandon) return;
    this.mayAbandon = false;
    if (this.run.isReplaying) return;
    const unfinished = this.run.handlers.unfinished();
    const updates = unfinished.filter(({ id }) => id !== undefined).map(({ name, id }) => ({ name, id }));
    const counts = new Map<string, number>();
    for (const { name, id } of unfinished) if (id === undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
    const signals = [...counts].map(([name, count]) => ({ name, count }));
    const loss = 'what it had left to do is not done, and whoever sent it gets an error instead of a result';
    if (updates.length > 0) this.warnOf('an update', loss, updates);
    if (signals.length > 0) this.warnOf('a signal', 'what it had left to do is not done', signals);
  }

  private warnOf(what: string, loss: string, unfinished: object[]): void {
    host().log(
      'WARN',
      `[TMPRL1102] Workflow finished while ${what} handler was still running: ${loss}. End with ` +
        '`await condition(allHandlersFinished)` to let handlers finish, or set the handler with the option ' +
        `\`unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON\` if that is meant. Unfinished: ${JSON.stringify(unfinished)}`,
      this.run.logAttributes(),
    );
  }

  /** Whether `failedTask` has to be asked, which may take long: it calls the user's converters. */
  get mayHaveFailed(): boolean {
    return this.taskError !== undefined || this.rejection !== undefined;
  }

  /** Why the task fails, if it does. May call the user's converters, which may do anything but throw. */
  failedTask(): FailedTask | undefined {
    this.judgeRejection();
    if (this.taskError === undefined) return undefined;
    const { error } = this.taskError;
    withAdvice(error);
    return { failure: this.taskFailureOf(error), error, advice: adviceOn(error) };
  }

  private taskFailureOf(error: unknown): Failure {
    const failure = this.safeFailureOf(error);
    if (error instanceof Error) failure.applicationFailureInfo ??= { type: error.name };
    return failure;
  }

  /** The failure; if it can't be converted, one that says so, without the message: the converter may be there to hide it. */
  safeFailureOf(error: unknown): Failure {
    try {
      return this.run.failureOf(error);
    } catch (why) {
      return unconvertible(error, why);
    }
  }
}

function unconvertible(error: unknown, why: unknown): Failure {
  const read = (of: unknown, key: 'name' | 'message' | 'stack') => {
    try {
      return of instanceof Error ? String(of[key]) : typeof of;
    } catch {
      return 'unknown';
    }
  };
  const stackTrace = why instanceof Error ? cutoffStackTrace(host().mapStack(read(why, 'stack'))) : '';
  return {
    source: 'TypeScriptSDK',
    message: `The failure converter failed at an error of type ${read(error, 'name')}: ${read(why, 'message')}`,
    stackTrace,
  };
}

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
    const type = of instanceof ActivityFailure ? of.activityType : of instanceof ChildWorkflowFailure ? of.workflowType : undefined;
    messages.push(type === undefined ? textOf(of) : `${of.message} (${type})`);
  }
  return messages.join(': ') || String(reason);
}
