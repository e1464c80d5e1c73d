/** What workflows do beside calling activities. */

import {
  type Duration,
  type HandlerUnfinishedPolicy,
  type Logger,
  type QueryDefinition,
  type RetryPolicy,
  type SearchAttributePair,
  type SearchAttributes,
  type SignalDefinition,
  type TypedSearchAttributes,
  type Workflow,
  compileRetryPolicy,
  mapToPayloads,
  toPayloads,
} from '@durably/common';
import { loggerOf } from '@durably/common/lib/logger';
import { searchAttributesToPayloads } from '@durably/common/lib/search-attributes';
import { msOptionalToTs, msToNumber } from '@durably/common/lib/time';
import type { temporal } from '@durably/proto';
import { CancellationScope } from './cancellation-scope';
import { ContinueAsNew } from './errors';
import type { WorkflowInfo } from './info';
import { currentRun, maybeCurrentRun } from './runtime/current';
import { host } from './runtime/globals';
import { nameUnknown } from './runtime/unknown-options';
import type { DefaultHandler } from './runtime/handlers';
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

/** A signal that workflows handle and clients send. */
export function defineSignal<Args extends any[] = [], Name extends string = string>(name: Name): SignalDefinition<Args, Name> {
  return { type: 'signal', name };
}

/** A query that workflows answer and clients ask. */
export function defineQuery<Ret, Args extends any[] = [], Name extends string = string>(
  name: Name,
): QueryDefinition<Ret, Args, Name> {
  return { type: 'query', name };
}

/** Where the workflow waits, as stack traces: a query that each workflow answers, as the two that follow. */
export const stackTraceQuery = defineQuery<string>('__stack_trace');
/** The same in parts. */
export const enhancedStackTraceQuery = defineQuery<EnhancedStackTrace>('__enhanced_stack_trace');
/** The names of its handlers, and its current details. */
export const workflowMetadataQuery = defineQuery<temporal.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');

export interface EnhancedStackTrace {
  sdk: { name: string; version: string };
  stacks: { locations: { file_path?: string; line?: number; column?: number; function_name?: string }[] }[];
  /** By their paths; none here. */
  sources: Record<string, { line_offset: number; content: string }[]>;
}

/** What handles a definition: signals may wait, queries answer at once. */
export type Handler<Ret, Args extends any[], T extends SignalDefinition<Args> | QueryDefinition<Ret, Args>> =
  T extends SignalDefinition<infer A>
    ? (...args: A) => void | Promise<void>
    : T extends QueryDefinition<infer R, infer A>
      ? (...args: A) => R
      : never;

export interface SignalHandlerOptions {
  description?: string;
  unfinishedPolicy?: HandlerUnfinishedPolicy;
}

export interface QueryHandlerOptions {
  description?: string;
}

/** Sets, replaces or (with undefined) removes the handler. Signals that have waited for one are handled at once. */
export function setHandler<Ret, Args extends any[], T extends QueryDefinition<Ret, Args>>(
  definition: T,
  handler: Handler<Ret, Args, T> | undefined,
  options?: QueryHandlerOptions,
): void;
export function setHandler<Ret, Args extends any[], T extends SignalDefinition<Args>>(
  definition: T,
  handler: Handler<Ret, Args, T> | undefined,
  options?: SignalHandlerOptions,
): void;
export function setHandler(
  definition: { type: string; name: string },
  handler: ((...args: any[]) => unknown) | undefined,
  options?: SignalHandlerOptions,
): void {
  const { handlers } = currentRun('Workflow.setHandler(...)');
  if (definition.type !== 'signal' && definition.type !== 'query') {
    throw new TypeError(`Invalid definition type: ${definition.type}`);
  }
  const map = definition.type === 'signal' ? handlers.signals : handlers.queries;
  if (handler === undefined || handler === null) map.delete(definition.name);
  else if (typeof handler !== 'function') throw new TypeError(`The handler of ${definition.name} must be a function`);
  else {
    const { description, unfinishedPolicy = 'WARN_AND_ABANDON' } = options ?? {};
    map.set(definition.name, { handler, description, unfinishedPolicy });
    if (definition.type === 'signal') handlers.deliverBuffered();
  }
}

/** Handles the signals that have no handler of their own. */
export function setDefaultSignalHandler(handler: DefaultHandler | undefined): void {
  const { handlers } = currentRun('Workflow.setDefaultSignalHandler(...)');
  handlers.defaultSignal = handler;
  if (handler) handlers.deliverBuffered();
}

/** Answers the queries that have no handler of their own. */
export function setDefaultQueryHandler(handler: DefaultHandler | undefined): void {
  currentRun('Workflow.setDefaultQueryHandler(...)').handlers.defaultQuery = handler;
}

/** Whether no signal handler is under way: `await condition(allHandlersFinished)` before a workflow ends. */
export function allHandlersFinished(): boolean {
  return currentRun('allHandlersFinished()').handlers.running.size === 0;
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
  // Whatever is in between, it ends by what the last link throws.
  return (...args) => run.outbound('continueAsNew', last)({ args, headers: {}, options });
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
