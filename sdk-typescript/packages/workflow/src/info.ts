/** What a workflow may know about itself. */

import type { Priority, RetryPolicy, SearchAttributes, TypedSearchAttributes } from '@durably/common';

export interface WorkflowInfo {
  readonly workflowId: string;
  /** Changes with continue-as-new, retries and resets. */
  readonly runId: string;
  readonly workflowType: string;
  readonly searchAttributes: SearchAttributes;
  readonly typedSearchAttributes: TypedSearchAttributes;
  readonly memo?: Record<string, unknown>;
  /** The workflow whose child this is. */
  readonly parent?: ParentWorkflowInfo;
  /** The topmost of its parents; undefined if it has none. */
  readonly root?: RootWorkflowInfo;
  /** Result of the last run of a cron workflow. */
  readonly lastResult?: unknown;
  /** Failure of the last run, if it was retried or is a cron workflow. */
  readonly lastFailure?: Error;
  readonly taskQueue: string;
  readonly namespace: string;
  readonly firstExecutionRunId: string;
  readonly continuedFromExecutionRunId?: string;
  readonly startTime: Date;
  readonly runStartTime: Date;
  readonly executionTimeoutMs?: number;
  readonly runTimeoutMs?: number;
  readonly taskTimeoutMs: number;
  readonly retryPolicy?: RetryPolicy;
  /** Starts at 1. */
  readonly attempt: number;
  readonly cronSchedule?: string;
  readonly currentBuildId?: string;
  /** Events in the history; with `historySize` (bytes) a hint when to continue as new. */
  readonly historyLength: number;
  readonly historySize: number;
  readonly continueAsNewSuggested: boolean;
  readonly priority: Priority;
  readonly unsafe: UnsafeWorkflowInfo;
}

export interface RootWorkflowInfo {
  workflowId: string;
  runId: string;
}

export interface ParentWorkflowInfo extends RootWorkflowInfo {
  namespace: string;
}

/** What would make a workflow non-deterministic if it decided by it. */
export interface UnsafeWorkflowInfo {
  /** The machine's clock, in milliseconds. */
  readonly now: () => number;
  readonly isReplaying: boolean;
}

/** What a handler of an update may know about it. */
export interface UpdateInfo {
  /** Unique within the workflow: given by the client, or made there. */
  readonly id: string;
  readonly name: string;
}
