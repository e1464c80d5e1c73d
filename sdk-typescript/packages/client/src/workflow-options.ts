/** Options of starting a workflow. */

import type { CommonWorkflowOptions, Duration, SignalDefinition, WithWorkflowArgs, Workflow } from '@durably/common';
import { msOptionalToTs } from '@durably/common/lib/time';
import type { google } from '@durably/proto';

/** `workflowId` and `taskQueue` are required. */
export interface WorkflowOptions extends CommonWorkflowOptions {
  /** The workflow's id. At most one run of an id is open; the id policies say what happens if it is taken. */
  workflowId: string;
  /** Queue that a worker with this workflow polls. */
  taskQueue: string;
  /** Whether `result` goes on with the next run after continue-as-new, retry or cron. Default true. */
  followRuns?: boolean;
  /** Wait before the first workflow task; a signal ends it. Not with `cronSchedule`. */
  startDelay?: Duration;
  /** A hint: begin on a worker of this connection at once. The server decides; this release always lets it dispatch. */
  requestEagerStart?: boolean;
}

/** Options with their time-outs as messages, as interceptors see them. */
export type WithCompiledWorkflowOptions<T extends WorkflowOptions> = Omit<
  T,
  'workflowExecutionTimeout' | 'workflowRunTimeout' | 'workflowTaskTimeout' | 'startDelay'
> & {
  workflowExecutionTimeout?: google.protobuf.IDuration;
  workflowRunTimeout?: google.protobuf.IDuration;
  workflowTaskTimeout?: google.protobuf.IDuration;
  startDelay?: google.protobuf.IDuration;
};

export interface CompiledWorkflowOptions extends WithCompiledWorkflowOptions<WorkflowOptions> {
  args: unknown[];
}

/** Throws a TypeError for options that no server could accept. */
export function compileWorkflowOptions(options: WorkflowOptions & { args?: readonly unknown[] }): CompiledWorkflowOptions {
  if (!options) throw new TypeError('Missing WorkflowOptions: workflowId and taskQueue are required');
  if (options.args !== undefined && !Array.isArray(options.args)) {
    throw new TypeError('WorkflowOptions.args must be an array of the arguments of the workflow function');
  }
  if (!options.taskQueue) throw new TypeError('Missing WorkflowOptions.taskQueue');
  if (!options.workflowId) throw new TypeError('Missing WorkflowOptions.workflowId');
  if ((options as { versioningOverride?: unknown }).versioningOverride !== undefined) {
    throw new TypeError('WorkflowOptions.versioningOverride is not supported in this release');
  }
  return {
    ...options,
    args: [...(options.args ?? [])],
    workflowExecutionTimeout: msOptionalToTs(options.workflowExecutionTimeout),
    workflowRunTimeout: msOptionalToTs(options.workflowRunTimeout),
    workflowTaskTimeout: msOptionalToTs(options.workflowTaskTimeout),
    startDelay: msOptionalToTs(options.startDelay),
  };
}

/** Options of an update. */
export interface WorkflowUpdateOptions {
  /**
   * Names the update within its run: another one with this id is the same update, which is handled once. Default: a random one.
   */
  readonly updateId?: string;
}

export type WorkflowSignalWithStartOptions<SignalArgs extends any[] = []> = SignalArgs extends [any, ...any[]]
  ? WorkflowSignalWithStartOptionsWithArgs<SignalArgs>
  : WorkflowSignalWithStartOptionsWithoutArgs<SignalArgs>;

export interface WorkflowSignalWithStartOptionsWithoutArgs<SignalArgs extends any[]>
  extends Omit<WorkflowOptions, 'requestEagerStart'> {
  /** The signal's definition or name. */
  signal: SignalDefinition<SignalArgs> | string;
  signalArgs?: SignalArgs;
}

export interface WorkflowSignalWithStartOptionsWithArgs<SignalArgs extends any[]>
  extends Omit<WorkflowOptions, 'requestEagerStart'> {
  /** The signal's definition or name. */
  signal: SignalDefinition<SignalArgs> | string;
  signalArgs: SignalArgs;
}

/** Options of `WorkflowClient.start`: `args` are the workflow function's. */
export type WorkflowStartOptions<T extends Workflow = Workflow> = WithWorkflowArgs<T, WorkflowOptions>;
