/** Handles on workflows, and the options of getting and awaiting them. */

import type { BaseWorkflowHandle, History, QueryDefinition, Workflow } from '@durably/common';
import type {
  RequestCancelWorkflowExecutionResponse,
  TerminateWorkflowExecutionResponse,
  WorkflowExecutionDescription,
} from './types';
import type { WorkflowClient } from './workflow-client';

/** One workflow, running or not. From {@link WorkflowClient.start} or {@link WorkflowClient.getHandle}. */
export interface WorkflowHandle<T extends Workflow = Workflow> extends BaseWorkflowHandle<T> {
  /** Asks the workflow. A worker must be running, also for a closed workflow. */
  query<Ret, Args extends any[] = []>(def: QueryDefinition<Ret, Args> | string, ...args: Args): Promise<Ret>;
  /** Ends the workflow at once; its code is not asked. */
  terminate(reason?: string): Promise<TerminateWorkflowExecutionResponse>;
  /** Asks the workflow to cancel itself; its code decides how. */
  cancel(): Promise<RequestCancelWorkflowExecutionResponse>;
  /** Status, times, memo and more. */
  describe(): Promise<WorkflowExecutionDescription>;
  /** All events so far. */
  fetchHistory(): Promise<History>;
  readonly client: WorkflowClient;
}

/** The handle of a workflow that was started here. */
export interface WorkflowHandleWithFirstExecutionRunId<T extends Workflow = Workflow> extends WorkflowHandle<T> {
  /** The first run of the workflow's chain. */
  readonly firstExecutionRunId: string;
  /** Whether the workflow began on a worker of this connection at once. */
  readonly eagerlyStarted: boolean;
}

/** The handle of a workflow that was started or signalled here. */
export interface WorkflowHandleWithSignaledRunId<T extends Workflow = Workflow> extends WorkflowHandle<T> {
  /** The run that got the signal, which need not be the first of its chain. */
  readonly signaledRunId: string;
}

/** Options of awaiting a workflow's result. */
export interface WorkflowResultOptions {
  /** Go on with the next run after continue-as-new, retry or cron. Default true. */
  followRuns?: boolean;
}

/** Options of {@link WorkflowClient.getHandle}. */
export interface GetWorkflowHandleOptions extends WorkflowResultOptions {
  /** Restricts `cancel` and `terminate` to the chain that began with this run. */
  firstExecutionRunId?: string;
}
