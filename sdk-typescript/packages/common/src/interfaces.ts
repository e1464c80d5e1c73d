/** The shapes of workflows, activities and messages between them. */

import type { Payload } from './converter/payload-converter';

export type WorkflowReturnType = Promise<any>;
/** A workflow is an async function. */
export type Workflow = (...args: any[]) => WorkflowReturnType;
export type WorkflowResultType<W extends Workflow> = ReturnType<W> extends Promise<infer R> ? R : never;

export type ActivityFunction<P extends any[] = any[], R = any> = (...args: P) => Promise<R>;
/** Activities by name. */
export type UntypedActivities = Record<string, ActivityFunction>;

export type Headers = Record<string, Payload>;

declare const argsBrand: unique symbol;
declare const resultBrand: unique symbol;

/** A signal by name, with the types of its arguments. See `defineSignal`. */
export interface SignalDefinition<Args extends any[] = [], Name extends string = string> {
  type: 'signal';
  name: Name;
  [argsBrand]?: Args;
}

/** A query by name, with the types of its result and arguments. See `defineQuery`. */
export interface QueryDefinition<Ret, Args extends any[] = [], Name extends string = string> {
  type: 'query';
  name: Name;
  [argsBrand]?: Args;
  [resultBrand]?: Ret;
}

/** An update by name, with the types of its result and arguments. See `defineUpdate`. */
export interface UpdateDefinition<Ret, Args extends any[] = [], Name extends string = string> {
  type: 'update';
  name: Name;
  [argsBrand]?: Args;
  [resultBrand]?: Ret;
}

/** What happens to a handler that still runs when the workflow ends. */
export const HandlerUnfinishedPolicy = Object.freeze({
  /** Log a warning and abandon it. The default. */
  WARN_AND_ABANDON: 'WARN_AND_ABANDON',
  ABANDON: 'ABANDON',
} as const);
export type HandlerUnfinishedPolicy = keyof typeof HandlerUnfinishedPolicy;

/** Adds `args` to options: required if the workflow takes any. */
export type WithWorkflowArgs<W extends Workflow, T> = T &
  (Parameters<W> extends [any, ...any[]]
    ? { args: Parameters<W> | Readonly<Parameters<W>> }
    : { args?: Parameters<W> | Readonly<Parameters<W>> });

/** The name that a workflow function or its type goes by. */
export function extractWorkflowType<W extends Workflow>(workflow: string | W): string {
  if (typeof workflow === 'string') return workflow;
  if (typeof workflow === 'function' && workflow.name) return workflow.name;
  throw new TypeError('Invalid workflow type: expected a name, or a function that has one');
}
