/** What workflows do beside calling activities and handling messages. */

import {
  type Duration,
  type Logger,
  type RetryPolicy,
  type SearchAttributePair,
  type SearchAttributes,
  type TypedSearchAttributes,
  type Workflow,
  compileRetryPolicy,
  mapToPayloads,
  toPayloads,
} from '@durably/common';
import { loggerOf } from '@durably/common/lib/logger';
import { searchAttributesToPayloads } from '@durably/common/lib/search-attributes';
import { msOptionalToTs, msToNumber } from '@durably/common/lib/time';
import { CancellationScope } from './cancellation-scope';
import { ContinueAsNew } from './errors';
import type { WorkflowInfo } from './info';
import { currentRun, maybeCurrentRun } from './runtime/current';
import { host } from './runtime/globals';
import { nameUnknown } from './runtime/unknown-options';
import { uuidOf } from './runtime/random';

export interface TimerOptions {
  /** For tools: one line in Markdown. */
  readonly summary?: string;
}

/** Waits durably: a timer in the history, at least a millisecond. Rejects when its scope is cancelled. */
export function sleep(duration: Duration, options?: TimerOptions): Promise<void> {
  const run = currentRun('Workflow.sleep(...)');
  return run.sleep(Math.max(1, msToNumber(duration)), CancellationScope.current(), options?.summary);
}

/** Resolves when the function returns true, to true; or to false after the time-out. */
export function condition(fn: () => boolean, timeout: Duration, options?: TimerOptions): Promise<boolean>;
export function condition(fn: () => boolean): Promise<void>;
export async function condition(fn: () => boolean, timeout?: Duration, options?: TimerOptions): Promise<boolean | void> {
  const run = currentRun('Workflow.condition(...)');
  // Returned as promises, not awaited: how many turns that takes is part of the order in which histories were made.
  if (timeout === undefined || timeout === null) return run.commands.waitFor(fn, CancellationScope.current());
  const scope = new CancellationScope();
  return scope.runTimed(async () => {
    try {
      return await Promise.race([
        run.sleep(Math.max(1, msToNumber(timeout)), scope, options?.summary).then(() => false),
        run.commands.waitFor(fn, scope).then(() => true),
      ]);
    } finally {
      scope.cancel();
    }
  });
}

/** What this workflow may know about itself. */
export function workflowInfo(): WorkflowInfo {
  return currentRun('Workflow.workflowInfo()').info;
}

/** Whether the calling code runs in a workflow. */
export function inWorkflowContext(): boolean {
  return maybeCurrentRun() !== undefined;
}

/** A UUID of version 4, the same in each replay. Not for secrets. */
export function uuid4(): string {
  return uuidOf(currentRun('Workflow.uuid4()').random);
}

/** What tools show as the workflow's present state, in Markdown. */
export function setCurrentDetails(details: string): void {
  currentRun('setCurrentDetails(...)').currentDetails = details;
}

export function getCurrentDetails(): string {
  return currentRun('getCurrentDetails()').currentDetails;
}

export interface ContinueAsNewOptions {
  /** Default: this workflow's, as for all options. */
  workflowType?: string;
  taskQueue?: string;
  workflowRunTimeout?: Duration;
  workflowTaskTimeout?: Duration;
  memo?: Record<string, unknown>;
  searchAttributes?: SearchAttributes;
  typedSearchAttributes?: SearchAttributePair[] | TypedSearchAttributes;
  retry?: RetryPolicy;
}

/** A function that continues as new with these options. */
export function makeContinueAsNewFunc<F extends Workflow>(
  options: ContinueAsNewOptions = {},
): (...args: Parameters<F>) => Promise<never> {
  const run = currentRun('Workflow.continueAsNew(...)');
  const { memo, retry } = options;
  nameUnknown('ContinueAsNewOptions', options, run.logAttributes());
  const last = ({ args }: { args: unknown[] }): never => {
    const indexedFields = searchAttributesToPayloads(options.searchAttributes, options.typedSearchAttributes);
    throw new ContinueAsNew({
      workflowType: options.workflowType,
      taskQueue: options.taskQueue,
      arguments: toPayloads(run.payloadConverter, ...args),
      runTimeout: msOptionalToTs(options.workflowRunTimeout),
      taskTimeout: msOptionalToTs(options.workflowTaskTimeout),
      memo: memo && { fields: mapToPayloads(run.payloadConverter, memo) },
      searchAttributes: indexedFields && { indexedFields },
      retryPolicy: retry && compileRetryPolicy(retry),
    });
  };
  return (...args) => {
    run.readOnly.check();
    // Whatever is in between, it ends by what the last link throws.
    return run.outbound('continueAsNew', last)({ args, headers: {}, options });
  };
}

/** Ends this run and starts the next with the arguments and an empty history. Never returns: let what it throws pass. */
export function continueAsNew<F extends Workflow>(...args: Parameters<F>): Promise<never> {
  return makeContinueAsNewFunc<F>()(...args);
}

/** Logs with the workflow's ids, and not again in replays. */
export const log: Logger = loggerOf((level, message, meta) => {
  const run = currentRun('Workflow.log(...)');
  if (!run.isReplaying) host().log(level, message, { ...run.logAttributes(), ...meta });
});
