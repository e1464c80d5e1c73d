/** Updates as clients see them: their stages, handles and options. */

import type { UpdateDefinition, Workflow, WorkflowIdConflictPolicy } from '@durably/common';
import { type EnumNumbers, enumNumber } from '@durably/common/lib/enums';
import type { WorkflowHandle } from './workflow-handle';
import type { WorkflowStartOptions } from './workflow-options';

/** How far an update has come. */
export const WorkflowUpdateStage = Object.freeze({
  /** The server has it, in memory only: nobody can wait for that. */
  ADMITTED: 'ADMITTED',
  /** The workflow has accepted it, or turned it away. */
  ACCEPTED: 'ACCEPTED',
  /** Its handler has ended, or it was turned away. */
  COMPLETED: 'COMPLETED',
  /** @deprecated Not allowed. */
  UNSPECIFIED: undefined,
} as const);
export type WorkflowUpdateStage = (typeof WorkflowUpdateStage)[keyof typeof WorkflowUpdateStage];

/** `UpdateWorkflowExecutionLifecycleStage` of the API, as far as one can wait. */
const STAGES: EnumNumbers<'ACCEPTED' | 'COMPLETED'> = { ACCEPTED: 2, COMPLETED: 3 };

export const ACCEPTED_STAGE = STAGES.ACCEPTED;
export const COMPLETED_STAGE = STAGES.COMPLETED;

/** The stage's number in Temporal's API. Default: ACCEPTED. Throws a TypeError for one that nobody can wait for. */
export function encodeWorkflowUpdateStage(stage: WorkflowUpdateStage): number {
  return enumNumber('waitForStage', STAGES, (stage ?? 'ACCEPTED') as keyof typeof STAGES);
}

/** An update that was sent. */
export interface WorkflowUpdateHandle<Ret> {
  updateId: string;
  workflowId: string;
  /** The run that got it. */
  workflowRunId?: string;
  /**
   * Waits for the update's end, for as long as it takes, and returns its result.
   *
   * @throws {@link WorkflowUpdateFailedError} if it was turned away or has failed.
   * @throws {@link WorkflowUpdateRPCTimeoutOrCancelledError} if the wait was given up; the update goes on.
   * @throws WorkflowNotFoundError if there is no such update, also if the workflow has ended before it.
   */
  result(): Promise<Ret>;
}

/** Options of {@link WorkflowHandle.getUpdateHandle}. */
export interface GetWorkflowUpdateHandleOptions {
  /** The run that got the update. Default: the handle's, or the newest. */
  workflowRunId?: string;
}

/**
 * How to start a workflow with `startUpdateWithStart` and `executeUpdateWithStart`, unless it runs already. Serves one
 * call. `workflowIdConflictPolicy` is required: it says what a workflow that runs already means.
 */
export class WithStartWorkflowOperation<T extends Workflow> {
  private isUsed = false;
  private readonly started: Promise<WorkflowHandle<T>>;
  private settle!: { resolve: (handle: WorkflowHandle<T>) => void; reject: (error: unknown) => void };

  constructor(
    public workflowTypeOrFunc: string | T,
    public options: WorkflowStartOptions<T> & { workflowIdConflictPolicy: WorkflowIdConflictPolicy },
  ) {
    if (!(options as { workflowIdConflictPolicy?: unknown } | undefined)?.workflowIdConflictPolicy) {
      throw new TypeError('WithStartWorkflowOperation: workflowIdConflictPolicy is required');
    }
    this.started = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    // Nobody needs to ask for the handle.
    this.started.catch(() => undefined);
  }

  /** The workflow's handle, once it has started or was found; rejects as the call does, if nothing was. */
  async workflowHandle(): Promise<WorkflowHandle<T>> {
    return await this.started;
  }

  /** Called by the client, once. @internal */
  begin(): { resolve: (handle: WorkflowHandle<T>) => void; reject: (error: unknown) => void } {
    if (this.isUsed) throw new Error('This WithStartWorkflowOperation instance has already been executed.');
    this.isUsed = true;
    return this.settle;
  }
}

/** Name and arguments of an update, as interceptors see them. Throws a TypeError for what no update can have. */
export function compileUpdate<Options extends object>(
  definition: UpdateDefinition<any, any> | string,
  given: (Options & { args?: unknown }) | undefined,
): { updateName: string; args: unknown[]; options: Omit<Options, 'args'> } {
  const updateName = typeof definition === 'string' ? definition : definition?.name;
  if (typeof updateName !== 'string' || updateName === '') throw new TypeError('The name of an update must be a string that is not empty');
  if (given !== undefined && (typeof given !== 'object' || given === null)) {
    throw new TypeError(`Update ${updateName}: its options must be an object, with the arguments as the array args`);
  }
  const { args = [], ...options } = given ?? ({} as Options & { args?: unknown });
  if (!Array.isArray(args)) throw new TypeError(`Update ${updateName}: args must be an array of its arguments`);
  return { updateName, args, options };
}
