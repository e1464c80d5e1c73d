/** What handles on workflows have in common. */

import type { SignalDefinition, Workflow, WorkflowResultType } from './interfaces';

export interface BaseWorkflowHandle<T extends Workflow> {
  /** Waits for the workflow's result. */
  result(): Promise<WorkflowResultType<T>>;
  /** Sends a signal; resolves when the server has recorded it, not when it is handled. */
  signal<Args extends any[] = [], Name extends string = string>(
    def: SignalDefinition<Args, Name> | string,
    ...args: Args
  ): Promise<void>;
  readonly workflowId: string;
}
