/** Starting other workflows as children of this one. */

import {
  type BaseWorkflowHandle,
  type CommonWorkflowOptions,
  type SignalDefinition,
  type WithWorkflowArgs,
  type Workflow,
  type WorkflowResultType,
  type WorkflowReturnType,
  compilePriority,
  compileRetryPolicy,
  encodeWorkflowIdReusePolicy,
  extractWorkflowType,
  mapToPayloads,
} from '@durably/common';
import { type EnumNumbers, enumNumber } from '@durably/common/lib/enums';
import { searchAttributesToPayloads } from '@durably/common/lib/search-attributes';
import { msOptionalToTs } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import { CancellationScope } from './cancellation-scope';
import { argumentsOf } from './arguments';
import type { StartedChild } from './runtime/chains';
import { checkList, checkObject, checkText } from './runtime/checks';
import { currentRun } from './runtime/current';
import type { Run } from './runtime/run';
import { nameUnknown } from './runtime/unknown-options';
import { notOfClients, sendSignal } from './signals';
import { uuid4 } from './workflow';

/** What happens to a child, and to who waits for it, when the scope in which it was started is cancelled. */
export const ChildWorkflowCancellationType = Object.freeze({
  /** Don't ask the child; go on at once. */
  ABANDON: 'ABANDON',
  /** Ask the child to end as cancelled; go on at once. */
  TRY_CANCEL: 'TRY_CANCEL',
  /** As `WAIT_CANCELLATION_COMPLETED`: Temporal's core makes no difference between them. */
  WAIT_CANCELLATION_REQUESTED: 'WAIT_CANCELLATION_REQUESTED',
  /** Ask the child; go on when it has ended, however it ends. The default. */
  WAIT_CANCELLATION_COMPLETED: 'WAIT_CANCELLATION_COMPLETED',
} as const);
export type ChildWorkflowCancellationType = keyof typeof ChildWorkflowCancellationType;
const CANCELLATION_TYPES: EnumNumbers<ChildWorkflowCancellationType> = {
  ABANDON: 0,
  TRY_CANCEL: 1,
  WAIT_CANCELLATION_COMPLETED: 2,
  WAIT_CANCELLATION_REQUESTED: 3,
};

/** What happens to a child that is open when this workflow ends. */
export const ParentClosePolicy = Object.freeze({
  /** It is terminated. The default. */
  TERMINATE: 'TERMINATE',
  /** Nothing. */
  ABANDON: 'ABANDON',
  /** It is asked to end as cancelled. */
  REQUEST_CANCEL: 'REQUEST_CANCEL',
  /** @deprecated Leave the option out. */
  PARENT_CLOSE_POLICY_UNSPECIFIED: undefined,
  /** @deprecated Use `TERMINATE`. */
  PARENT_CLOSE_POLICY_TERMINATE: 'TERMINATE',
  /** @deprecated Use `ABANDON`. */
  PARENT_CLOSE_POLICY_ABANDON: 'ABANDON',
  /** @deprecated Use `REQUEST_CANCEL`. */
  PARENT_CLOSE_POLICY_REQUEST_CANCEL: 'REQUEST_CANCEL',
} as const);
export type ParentClosePolicy = (typeof ParentClosePolicy)[keyof typeof ParentClosePolicy];
const CLOSE_POLICIES: EnumNumbers<NonNullable<ParentClosePolicy>> = { TERMINATE: 1, ABANDON: 2, REQUEST_CANCEL: 3 };

/** All are optional. */
export interface ChildWorkflowOptions extends Omit<CommonWorkflowOptions, 'workflowIdConflictPolicy'> {
  /** Default: `uuid4()`. */
  workflowId?: string;
  /** Queue that a worker with the child's code polls. Default: this workflow's. */
  taskQueue?: string;
  /** When the scope is cancelled in which the child was started. Default `WAIT_CANCELLATION_COMPLETED`. */
  cancellationType?: ChildWorkflowCancellationType;
  /** When this workflow ends before the child. Default `TERMINATE`. */
  parentClosePolicy?: ParentClosePolicy;
}

export type RequiredChildWorkflowOptions = Required<Pick<ChildWorkflowOptions, 'workflowId' | 'cancellationType'>> & {
  args: unknown[];
};
export type ChildWorkflowOptionsWithDefaults = ChildWorkflowOptions & RequiredChildWorkflowOptions;

/** A child that has started. To ask it something, use a client in an activity. */
export interface ChildWorkflowHandle<T extends Workflow> extends BaseWorkflowHandle<T> {
  /** The first run of the child's chain. */
  readonly firstExecutionRunId: string;
}

/** The options with an id, arguments and a cancellation type. */
export function addDefaultWorkflowOptions<T extends Workflow>(
  options: WithWorkflowArgs<T, ChildWorkflowOptions>,
): ChildWorkflowOptionsWithDefaults {
  return {
    ...options,
    workflowId: options.workflowId ?? uuid4(),
    args: [...(options.args ?? [])] as unknown[],
    cancellationType: options.cancellationType ?? 'WAIT_CANCELLATION_COMPLETED',
  };
}

/**
 * Starts a child workflow, by its function or name, and resolves with its handle when it has started.
 *
 * Rejects with a `WorkflowExecutionAlreadyStartedError` when the id is taken, and with a `ChildWorkflowFailure` when the
 * scope is cancelled before the start was sent.
 */
export async function startChild<T extends Workflow>(
  workflowType: string,
  options: WithWorkflowArgs<T, ChildWorkflowOptions>,
): Promise<ChildWorkflowHandle<T>>;
export async function startChild<T extends Workflow>(
  workflowFunc: T,
  options: WithWorkflowArgs<T, ChildWorkflowOptions>,
): Promise<ChildWorkflowHandle<T>>;
export async function startChild<T extends () => Promise<any>>(workflowType: string): Promise<ChildWorkflowHandle<T>>;
export async function startChild<T extends () => Promise<any>>(workflowFunc: T): Promise<ChildWorkflowHandle<T>>;
export async function startChild<T extends Workflow>(
  workflow: string | T,
  options?: WithWorkflowArgs<T, ChildWorkflowOptions>,
): Promise<ChildWorkflowHandle<T>> {
  const run = currentRun('Workflow.startChild(...)');
  const { workflowId, begun } = start(run, workflow, options);
  const [started, completed] = await begun;
  const firstExecutionRunId = await started;
  return notOfClients({
    workflowId,
    firstExecutionRunId,
    async result(): Promise<WorkflowResultType<T>> {
      return (await completed) as WorkflowResultType<T>;
    },
    async signal<Args extends any[]>(definition: SignalDefinition<Args> | string, ...args: Args): Promise<void> {
      return sendSignal({ childWorkflowId: workflowId }, definition, args);
    },
  });
}

/**
 * Starts a child workflow, by its function or name, and resolves with its result.
 *
 * Rejects with a `ChildWorkflowFailure` when the child fails, times out, or is cancelled or terminated: its `cause` says
 * which. Otherwise as `startChild`.
 */
export async function executeChild<T extends Workflow>(
  workflowType: string,
  options: WithWorkflowArgs<T, ChildWorkflowOptions>,
): Promise<WorkflowResultType<T>>;
export async function executeChild<T extends Workflow>(
  workflowFunc: T,
  options: WithWorkflowArgs<T, ChildWorkflowOptions>,
): Promise<WorkflowResultType<T>>;
export async function executeChild<T extends () => WorkflowReturnType>(workflowType: string): Promise<WorkflowResultType<T>>;
export async function executeChild<T extends () => WorkflowReturnType>(workflowFunc: T): Promise<WorkflowResultType<T>>;
export async function executeChild<T extends Workflow>(
  workflow: string | T,
  options?: WithWorkflowArgs<T, ChildWorkflowOptions>,
): Promise<WorkflowResultType<T>> {
  const { begun } = start(currentRun('Workflow.executeChild(...)'), workflow, options);
  // Returned as a promise, not awaited: how many turns that takes is part of the order in which histories were made.
  return begun.then(([, completed]) => completed) as Promise<WorkflowResultType<T>>;
}

function start<T extends Workflow>(
  run: Run,
  workflow: string | T,
  given: WithWorkflowArgs<T, ChildWorkflowOptions> | undefined,
): { workflowId: string; begun: Promise<StartedChild> } {
  const workflowType = extractWorkflowType(workflow);
  if (workflowType === '') throw new TypeError('Invalid workflow type: the name is empty');
  check(workflowType, given);
  const options = addDefaultWorkflowOptions(given ?? ({} as WithWorkflowArgs<T, ChildWorkflowOptions>));
  nameUnknown('ChildWorkflowOptions', options, run.logAttributes());
  const { workflowId, staticSummary: summary, staticDetails: details } = options;
  const child = messageOf(run, workflowType, options);
  return { workflowId, begun: run.startChild(child, CancellationScope.current(), { summary, details }) };
}

/** Refuses options that no child could be started with; what is compiled to messages is checked there. */
function check(workflowType: string, options: (ChildWorkflowOptions & { args?: unknown }) | undefined): void {
  const of = (name: string) => `Child workflow ${workflowType}: ${name}`;
  checkObject(of('its options'), options);
  if (!options) return;
  checkList(of('args'), options.args);
  for (const name of ['workflowId', 'taskQueue', 'cronSchedule', 'staticSummary', 'staticDetails'] as const) {
    checkText(of(name), options[name]);
  }
  for (const name of ['retry', 'memo', 'searchAttributes', 'priority'] as const) checkObject(of(name), options[name]);
}

function messageOf(
  run: Run,
  workflowType: string,
  options: ChildWorkflowOptionsWithDefaults,
): durably.core.v1.IStartChildWorkflow {
  const { retry, memo, priority } = options;
  const indexedFields = searchAttributesToPayloads(options.searchAttributes, options.typedSearchAttributes);
  return {
    workflowId: options.workflowId,
    workflowType,
    taskQueue: options.taskQueue,
    arguments: argumentsOf(`Child workflow ${workflowType}`, options.args, run.payloadConverter),
    headers: {},
    executionTimeout: msOptionalToTs(options.workflowExecutionTimeout),
    runTimeout: msOptionalToTs(options.workflowRunTimeout),
    taskTimeout: msOptionalToTs(options.workflowTaskTimeout),
    parentClosePolicy: enumNumber('parentClosePolicy', CLOSE_POLICIES, options.parentClosePolicy ?? undefined),
    workflowIdReusePolicy: encodeWorkflowIdReusePolicy(options.workflowIdReusePolicy),
    retryPolicy: retry && compileRetryPolicy(retry),
    cronSchedule: options.cronSchedule,
    memo: memo && { fields: mapToPayloads(run.payloadConverter, memo) },
    searchAttributes: indexedFields && { indexedFields },
    cancellationType: enumNumber('cancellationType', CANCELLATION_TYPES, options.cancellationType),
    priority: priority && compilePriority(priority),
  };
}
