/** Speaking to workflows that this one has not started. */

import type { SignalDefinition } from '@durably/common';
import { CancellationScope } from './cancellation-scope';
import { checkRequiredText, checkText } from './runtime/checks';
import { currentRun } from './runtime/current';
import { notOfClients, sendSignal } from './signals';

/** Another workflow. To ask it something or await its result, use a client in an activity. */
export interface ExternalWorkflowHandle {
  /** Sends a signal, by its definition or name; resolves when the server has recorded it, not when it is handled. */
  signal<Args extends any[] = [], Name extends string = string>(
    def: SignalDefinition<Args, Name> | string,
    ...args: Args
  ): Promise<void>;
  /** Asks the workflow to end as cancelled; resolves when the server has recorded that. Rejects if there is no such workflow. */
  cancel(): Promise<void>;
  readonly workflowId: string;
  /** The run that is meant; undefined: whichever is the newest. */
  readonly runId?: string;
}

/** A handle on any workflow of the namespace. Whether it exists shows when something is sent to it. */
export function getExternalWorkflowHandle(workflowId: string, runId?: string): ExternalWorkflowHandle {
  const run = currentRun('Workflow.getExternalWorkflowHandle(...)');
  checkRequiredText('The workflowId of getExternalWorkflowHandle', workflowId);
  checkText('The runId of getExternalWorkflowHandle', runId);
  const workflow = { workflowId, runId };
  return notOfClients({
    workflowId,
    runId,
    signal: (definition: SignalDefinition<any> | string, ...args: unknown[]) => sendSignal({ workflow }, definition, args),
    cancel: () => run.children.cancelWorkflow(workflow, CancellationScope.current()),
  });
}
