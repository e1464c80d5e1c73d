/** Types that the parts of the client share. */

import type { Priority, SearchAttributes, SearchAttributeValue, TypedSearchAttributes } from '@durably/common';
import type { temporal } from '@durably/proto';


/** A workflow, or with `runId` one of its runs. */
export interface WorkflowExecution {
  workflowId: string;
  runId?: string;
}

export type StartWorkflowExecutionRequest = temporal.api.workflowservice.v1.IStartWorkflowExecutionRequest;
export type GetWorkflowExecutionHistoryRequest = temporal.api.workflowservice.v1.IGetWorkflowExecutionHistoryRequest;
export type DescribeWorkflowExecutionResponse = temporal.api.workflowservice.v1.DescribeWorkflowExecutionResponse;
export type RawWorkflowExecutionInfo = temporal.api.workflow.v1.WorkflowExecutionInfo;
export type TerminateWorkflowExecutionResponse = temporal.api.workflowservice.v1.TerminateWorkflowExecutionResponse;
export type RequestCancelWorkflowExecutionResponse = temporal.api.workflowservice.v1.RequestCancelWorkflowExecutionResponse;

/** Names of a workflow's states; UNKNOWN is one that this version doesn't know. */
export type WorkflowExecutionStatusName =
  | 'UNSPECIFIED'
  | 'RUNNING'
  | 'COMPLETED'
  | 'FAILED'
  | 'CANCELLED'
  | 'TERMINATED'
  | 'CONTINUED_AS_NEW'
  | 'TIMED_OUT'
  | 'PAUSED'
  | 'UNKNOWN';

/** One run, as `WorkflowClient.list` and `WorkflowHandle.describe` show it. */
export interface WorkflowExecutionInfo {
  type: string;
  workflowId: string;
  runId: string;
  taskQueue: string;
  /** `code` is the number in Temporal's API. */
  status: { code: number; name: WorkflowExecutionStatusName };
  /** Number of events. */
  historyLength: number;
  /** Bytes of history, if the server tells. */
  historySize?: number;
  startTime: Date;
  /** When its code began to run: later than `startTime` after a start delay or with a cron schedule. */
  executionTime?: Date;
  closeTime?: Date;
  memo?: Record<string, unknown>;
  /** @deprecated Use `typedSearchAttributes`. */
  searchAttributes: SearchAttributes;
  typedSearchAttributes: TypedSearchAttributes;
  parentExecution?: Required<WorkflowExecution>;
  rootExecution?: Required<WorkflowExecution>;
  priority?: Priority;
  raw: RawWorkflowExecutionInfo;
}

/** What `WorkflowHandle.describe` returns. */
export type WorkflowExecutionDescription = Omit<WorkflowExecutionInfo, 'raw'> & {
  raw: DescribeWorkflowExecutionResponse;
  /** Lines for tools, in Markdown, as given at the start. */
  staticDetails: () => Promise<string | undefined>;
  /** One line for tools, in Markdown, as given at the start. */
  staticSummary: () => Promise<string | undefined>;
};

/** How many runs match a filter. */
export interface CountWorkflowExecution {
  count: number;
  /** Empty unless the query has `GROUP BY`. */
  groups: { count: number; groupValues: SearchAttributeValue[] }[];
}

export type WorkflowService = temporal.api.workflowservice.v1.WorkflowService;
export type OperatorService = temporal.api.operatorservice.v1.OperatorService;
export type TestService = temporal.api.testservice.v1.TestService;
export type { HealthService } from './services';

/** gRPC metadata: header names, which are case-insensitive, to values in printable ASCII. */
export type Metadata = Record<string, string>;

/** What `withDeadline`, `withMetadata` and `withAbortSignal` set for the calls in their scope. */
export interface CallContext {
  /** Milliseconds since the epoch, or a date. */
  deadline?: number | Date;
  metadata?: Metadata;
  abortSignal?: AbortSignal;
  /** The call is the client's own, for which the core waits until an update has come as far as it says. @internal */
  update?: { readonly clock: number | undefined };
}

/** What clients need of a connection. */
export interface ConnectionLike {
  workflowService: WorkflowService;
  operatorService: OperatorService;
  close(): Promise<void>;
  ensureConnected(): Promise<void>;
  /** Calls made in `fn` fail with DEADLINE_EXCEEDED when the deadline passes. See {@link isGrpcDeadlineError}. */
  withDeadline<R>(deadline: number | Date, fn: () => Promise<R>): Promise<R>;
  /** Calls made in `fn` carry the metadata. */
  withMetadata<R>(metadata: Metadata, fn: () => Promise<R>): Promise<R>;
  /** Calls made in `fn` fail with CANCELLED when the signal is aborted. See {@link isGrpcCancelledError}. */
  withAbortSignal<R>(abortSignal: AbortSignal, fn: () => Promise<R>): Promise<R>;
}

/** In which states of the workflow a query is not put to it. */
export const QueryRejectCondition = {
  /** It always is. */
  NONE: 'NONE',
  /** Not to a closed workflow. */
  NOT_OPEN: 'NOT_OPEN',
  /** Not to a workflow that closed otherwise than by completing. */
  NOT_COMPLETED_CLEANLY: 'NOT_COMPLETED_CLEANLY',
  /** @deprecated Use `NONE`. */
  QUERY_REJECT_CONDITION_NONE: 'NONE',
  /** @deprecated Use `NOT_OPEN`. */
  QUERY_REJECT_CONDITION_NOT_OPEN: 'NOT_OPEN',
  /** @deprecated Use `NOT_COMPLETED_CLEANLY`. */
  QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY: 'NOT_COMPLETED_CLEANLY',
  /** @deprecated Use `undefined`. */
  QUERY_REJECT_CONDITION_UNSPECIFIED: undefined,
} as const;
export type QueryRejectCondition = (typeof QueryRejectCondition)[keyof typeof QueryRejectCondition];

/** The condition's number in Temporal's API. */
export function encodeQueryRejectCondition(condition: QueryRejectCondition): number {
  if (condition === undefined) return 0;
  const number = ['NONE', 'NOT_OPEN', 'NOT_COMPLETED_CLEANLY'].indexOf(condition) + 1;
  if (number === 0) throw new TypeError(`queryRejectCondition: there is no condition '${condition}'`);
  return number;
}
