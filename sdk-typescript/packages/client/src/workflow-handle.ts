/** Handles on workflows, and the options of getting and awaiting them. */

import type { BaseWorkflowHandle, History, QueryDefinition, UpdateDefinition, Workflow } from '@durably/common';
import type {
  RequestCancelWorkflowExecutionResponse,
  TerminateWorkflowExecutionResponse,
  WorkflowExecutionDescription,
} from './types';
import type { WorkflowClient } from './workflow-client';
import type { WorkflowUpdateOptions } from './workflow-options';
import type { GetWorkflowUpdateHandleOptions, WorkflowUpdateHandle } from './workflow-update';

/** One workflow, running or not. From {@link WorkflowClient.start} or {@link WorkflowClient.getHandle}. */
export interface WorkflowHandle<T extends Workflow = Workflow> extends BaseWorkflowHandle<T> {
  /**
   * Sends an update, and waits for its result for as long as it takes.
   *
   * @throws {@link WorkflowUpdateFailedError} if it is turned away or fails.
   * @throws {@link WorkflowUpdateRPCTimeoutOrCancelledError} if the wait was given up; the update goes on.
   * @throws WorkflowNotFoundError if there is no such workflow, or it ends before the update.
   */
  executeUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args: Args },
  ): Promise<Ret>;
  executeUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options?: WorkflowUpdateOptions & { args?: Args },
  ): Promise<Ret>;
  /**
   * Sends an update, and waits until the workflow has accepted it or turned it away. The handle's `result` tells what
   * comes of it, also that it was turned away. Otherwise as {@link executeUpdate}.
   */
  startUpdate<Ret, Args extends [any, ...any[]], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args: Args; waitForStage: 'ACCEPTED' },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  startUpdate<Ret, Args extends [], Name extends string = string>(
    def: UpdateDefinition<Ret, Args, Name> | string,
    options: WorkflowUpdateOptions & { args?: Args; waitForStage: 'ACCEPTED' },
  ): Promise<WorkflowUpdateHandle<Ret>>;
  /** A handle on an update that was sent before, by anybody; the server is not asked whether it exists. */
  getUpdateHandle<Ret>(updateId: string, options?: GetWorkflowUpdateHandleOptions): WorkflowUpdateHandle<Ret>;
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
