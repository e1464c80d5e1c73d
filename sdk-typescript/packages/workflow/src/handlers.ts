/** What a workflow handles: signals, queries and updates, each by its name. */

import type { HandlerUnfinishedPolicy, QueryDefinition, SignalDefinition, UpdateDefinition } from '@durably/common';
import type { temporal } from '@durably/proto';
import type { UpdateInfo } from './info';
import { currentRun } from './runtime/current';
import { updateStorage } from './runtime/globals';
import { checkUnreserved } from './runtime/reserved';

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

/** An update that workflows handle and clients ask for: as a signal it may change the workflow, and as a query it answers. */
export function defineUpdate<Ret, Args extends any[] = [], Name extends string = string>(
  name: Name,
): UpdateDefinition<Ret, Args, Name> {
  return { type: 'update', name };
}

/** Where the workflow waits, as stack traces: a query that each workflow answers, as the two that follow. */
export const stackTraceQuery = defineQuery<string>('__stack_trace');
/** The same in parts. */
export const enhancedStackTraceQuery = defineQuery<EnhancedStackTrace>('__enhanced_stack_trace');
/** The names of its handlers with their descriptions, and its current details. */
export const workflowMetadataQuery = defineQuery<temporal.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');

export interface StackTraceFileLocation {
  file_path?: string;
  /** Lines and columns are counted from 1. */
  line?: number;
  column?: number;
  function_name?: string;
  /** Whether it is a frame of the SDK; those are left out. */
  internal_code: boolean;
}

export interface EnhancedStackTrace {
  sdk: { name: string; version: string };
  stacks: { locations: StackTraceFileLocation[] }[];
  /** By their paths; none here. */
  sources: Record<string, { line_offset: number; content: string }[]>;
}

/** What handles a definition: signals and updates may wait, queries answer at once. */
export type Handler<
  Ret,
  Args extends any[],
  T extends UpdateDefinition<Ret, Args> | SignalDefinition<Args> | QueryDefinition<Ret, Args>,
> =
  T extends UpdateDefinition<infer R, infer A>
    ? (...args: A) => R | Promise<R>
    : T extends SignalDefinition<infer A>
      ? (...args: A) => void | Promise<void>
      : T extends QueryDefinition<infer R, infer A>
        ? (...args: A) => R
        : never;

/** Handles the signals that have no handler of their own. */
export type DefaultSignalHandler = (signalName: string, ...args: unknown[]) => void | Promise<void>;
/** Handles the updates that have no handler of their own. */
export type DefaultUpdateHandler = (updateName: string, ...args: unknown[]) => Promise<unknown> | unknown;
/** Answers the queries that have no handler of their own. */
export type DefaultQueryHandler = (queryName: string, ...args: unknown[]) => unknown;

/**
 * Decides whether an update is accepted. What it throws turns the update away: whoever asked for it is told, and the
 * history shows nothing of it. It reads the workflow's state, changes nothing, and doesn't wait.
 */
export type UpdateValidator<Args extends any[]> = (...args: Args) => void;

export interface QueryHandlerOptions {
  /** For tools. */
  description?: string;
}

export interface SignalHandlerOptions {
  /** For tools. */
  description?: string;
  /** What to do when the workflow ends before the handler. Default `WARN_AND_ABANDON`. */
  unfinishedPolicy?: HandlerUnfinishedPolicy;
}

/** The arguments of an update, by its definition. */
export type UpdateArgs<T> = T extends UpdateDefinition<any, infer Args> ? Args : never;

export interface UpdateHandlerOptions<Args extends any[]> {
  validator?: UpdateValidator<Args>;
  /** For tools. */
  description?: string;
  /** What to do when the workflow ends before the handler. Default `WARN_AND_ABANDON`. */
  unfinishedPolicy?: HandlerUnfinishedPolicy;
}

/**
 * Sets, replaces or (with undefined) removes the handler. Signals and updates that have waited for one are handled at
 * once. Signals wait for as long as it takes; an update is turned away at the end of the activation that has brought it.
 *
 * What an update's handler returns is its result. A `TemporalFailure`, such as an `ApplicationFailure` or that of an
 * activity, fails the update; other errors fail the workflow task, as those of the workflow function do.
 */
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
export function setHandler<Ret, Args extends any[], T extends UpdateDefinition<Ret, Args>>(
  definition: T,
  handler: Handler<Ret, Args, T> | undefined,
  options?: UpdateHandlerOptions<UpdateArgs<T>>,
): void;
export function setHandler(
  definition: { type: string; name: string },
  handler: ((...args: any[]) => unknown) | undefined,
  options?: UpdateHandlerOptions<any[]>,
): void {
  const { handlers } = currentRun('Workflow.setHandler(...)');
  const { type, name } = definition;
  if (type !== 'signal' && type !== 'query' && type !== 'update') throw new TypeError(`Invalid definition type: ${type}`);
  checkUnreserved(type, name);
  const { signals, queries, updates } = handlers;
  if (!isGiven(`the handler of ${name}`, handler)) {
    (type === 'signal' ? signals : type === 'query' ? queries : updates.handlers).delete(name);
    return;
  }
  const { validator, description, unfinishedPolicy = 'WARN_AND_ABANDON' } = options ?? {};
  const set = { handler, description, unfinishedPolicy };
  if (type === 'query') queries.set(name, set);
  else if (type === 'signal') {
    signals.set(name, set);
    handlers.deliverBuffered();
  } else {
    isGiven(`the validator of ${name}`, validator);
    updates.handlers.set(name, { ...set, validator });
    updates.deliverBuffered();
  }
}

/** Handles the signals that have no handler of their own, those that have waited for one first. */
export function setDefaultSignalHandler(handler: DefaultSignalHandler | undefined): void {
  const { handlers } = currentRun('Workflow.setDefaultSignalHandler(...)');
  const isSet = isGiven('the default handler of signals', handler);
  handlers.defaultSignal = handler ?? undefined;
  if (isSet) handlers.deliverBuffered();
}

/** Handles the updates that have no handler of their own, without a validator. */
export function setDefaultUpdateHandler(handler: DefaultUpdateHandler | undefined): void {
  const { updates } = currentRun('Workflow.setDefaultUpdateHandler(...)').handlers;
  const isSet = isGiven('the default handler of updates', handler);
  updates.defaultHandler = handler ?? undefined;
  if (isSet) updates.deliverBuffered();
}

/** Answers the queries that have no handler of their own. */
export function setDefaultQueryHandler(handler: DefaultQueryHandler | undefined): void {
  const { handlers } = currentRun('Workflow.setDefaultQueryHandler(...)');
  isGiven('the default handler of queries', handler);
  handlers.defaultQuery = handler ?? undefined;
}

function isGiven<T>(what: string, handler: T | undefined): handler is T {
  if (handler === undefined || handler === null) return false;
  if (typeof handler === 'function') return true;
  throw new TypeError(`Expected ${what} to be either a function or 'undefined'. Got: '${typeof handler}'`);
}

/** Whether no handler of a signal or an update is under way: `await condition(allHandlersFinished)` before a workflow ends. */
export function allHandlersFinished(): boolean {
  return currentRun('allHandlersFinished()').handlers.running.size === 0;
}

/** The update that the calling code handles or validates; undefined anywhere else. */
export function currentUpdateInfo(): UpdateInfo | undefined {
  currentRun('Workflow.currentUpdateInfo(...)');
  return updateStorage().getStore();
}
