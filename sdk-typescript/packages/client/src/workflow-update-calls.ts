/** The calls of updates: sending one, alone or with the start of its workflow, and waiting for its outcome. */

import { randomUUID } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError } from '@durably/common';
import {
  decodeFromPayloadsAtIndex,
  decodeOptionalFailureToOptionalError,
  encodeToPayloads,
} from '@durably/common/lib/internal-non-workflow';
import type { temporal } from '@durably/proto';
import { Connection } from './connection';
import { WorkflowUpdateFailedError, isGrpcServiceError, status } from './errors';
import { errorOfOperation, rethrowUpdateError } from './helpers';
import type {
  WorkflowStartUpdateInput,
  WorkflowStartUpdateOutput,
  WorkflowStartUpdateWithStartInput,
  WorkflowStartUpdateWithStartOutput,
} from './interceptors';
import type { ConnectionLike, WorkflowExecution } from './types';
import type { LoadedWorkflowClientOptions } from './workflow-client';
import { startRequest } from './workflow-start';
import { ACCEPTED_STAGE, COMPLETED_STAGE, type WorkflowUpdateHandle } from './workflow-update';

type Outcome = temporal.api.update.v1.IOutcome;
type UpdateRequest = temporal.api.workflowservice.v1.IUpdateWorkflowExecutionRequest;

/** An update that was sent, and its outcome if that came at once. */
export interface SentUpdate {
  readonly updateId: string;
  readonly workflowExecution: WorkflowExecution;
  readonly outcome?: Outcome | undefined;
}

export class UpdateCalls {
  constructor(
    private readonly connection: ConnectionLike,
    private readonly options: LoadedWorkflowClientOptions,
    /** What the waits let the clock of a server that skips time do. */
    private readonly clock: number | undefined,
  ) {}

  /** Sends an update, and waits until it has come as far as `stage`. */
  async start(input: WorkflowStartUpdateInput, stage: number): Promise<WorkflowStartUpdateOutput> {
    const { workflowExecution } = input;
    try {
      const request = await this.request(input, stage, await this.identity());
      const { updateRef, outcome } = await this.untilAccepted(
        () => this.connection.workflowService.updateWorkflowExecution(request),
        (response) => response.stage,
      );
      const workflowRunId = updateRef?.workflowExecution?.runId ?? '';
      return { updateId: request.request?.meta?.updateId ?? '', workflowRunId, outcome };
    } catch (error) {
      rethrowUpdateError(error, 'Workflow Update failed', workflowExecution);
    }
  }

  /** Starts a workflow unless it runs already, and sends it an update, in one call. `onStart` hears of the workflow's run. */
  async startWithStart(
    input: WorkflowStartUpdateWithStartInput,
    stage: number,
    onStart: (runId: string) => void,
  ): Promise<WorkflowStartUpdateWithStartOutput> {
    const { workflowType, workflowStartOptions, updateName, updateArgs: args, updateOptions: options } = input;
    const { workflowId } = workflowStartOptions;
    const workflowExecution = { workflowId };
    const identity = await this.identity();
    const origin = { ...this.options, identity };
    const start = await startRequest(workflowType, input.workflowStartHeaders, workflowStartOptions, origin);
    const headers = input.updateHeaders;
    const updateWorkflow = await this.request({ updateName, args, workflowExecution, headers, options }, stage, identity);
    // What asks again is the same start, also for a server that has carried it out already.
    const startWorkflow = { ...start, requestId: randomUUID() };
    const request = { namespace: this.options.namespace, operations: [{ startWorkflow }, { updateWorkflow }] };
    try {
      const { responses } = await this.untilAccepted(
        async () => {
          const response = await this.connection.workflowService.executeMultiOperation(request);
          onStart(response.responses[0]?.startWorkflow?.runId ?? '');
          return response;
        },
        (response) => response.responses[1]?.updateWorkflow?.stage ?? 0,
      );
      const { updateRef, outcome } = responses[1]?.updateWorkflow ?? {};
      const runId = updateRef?.workflowExecution?.runId;
      return { workflowExecution: { workflowId, runId }, updateId: updateWorkflow.request?.meta?.updateId ?? '', updateOutcome: outcome };
    } catch (thrown) {
      const error = errorOfOperation(thrown);
      if (isGrpcServiceError(error) && error.code === status.ALREADY_EXISTS) {
        throw new WorkflowExecutionAlreadyStartedError('Workflow execution already started', workflowId, workflowType);
      }
      // What one of the operations says is passed on as it is, as the official client does.
      if (error !== thrown) throw error;
      rethrowUpdateError(error, 'Update-With-Start failed', workflowExecution);
    }
  }

  /** Waits for an update's end, for as long as it takes. */
  async outcome(updateId: string, workflowExecution: WorkflowExecution): Promise<Outcome> {
    const request = {
      namespace: this.options.namespace,
      identity: await this.identity(),
      updateRef: { workflowExecution, updateId },
      waitPolicy: { lifecycleStage: COMPLETED_STAGE },
    };
    try {
      for (;;) {
        const { outcome } = await this.waiting(() => this.connection.workflowService.pollWorkflowExecutionUpdate(request));
        if (outcome) return outcome;
      }
    } catch (error) {
      rethrowUpdateError(error, 'Workflow Update Poll failed', workflowExecution);
    }
  }

  handle<Ret>({ updateId, workflowExecution, outcome }: SentUpdate): WorkflowUpdateHandle<Ret> {
    const { workflowId, runId } = workflowExecution;
    const { loadedDataConverter } = this.options;
    return {
      updateId,
      workflowId,
      workflowRunId: runId,
      result: async () => {
        const { success, failure } = outcome ?? (await this.outcome(updateId, workflowExecution));
        if (failure) {
          const cause = await decodeOptionalFailureToOptionalError(loadedDataConverter, failure);
          throw new WorkflowUpdateFailedError('Workflow Update failed', cause);
        }
        return (await decodeFromPayloadsAtIndex(loadedDataConverter, 0, success?.payloads)) as Ret;
      },
    };
  }

  private async request(input: WorkflowStartUpdateInput, lifecycleStage: number, identity: string): Promise<UpdateRequest> {
    const { workflowExecution, firstExecutionRunId, updateName: name, args, headers } = input;
    const payloads = await encodeToPayloads(this.options.loadedDataConverter, ...args);
    return {
      namespace: this.options.namespace,
      workflowExecution,
      firstExecutionRunId,
      waitPolicy: { lifecycleStage },
      request: {
        meta: { updateId: input.options.updateId ?? randomUUID(), identity },
        input: { header: { fields: headers }, name, args: { payloads } },
      },
    };
  }

  /** The core asks again until the update is there; where it may not retry, this does. */
  private async untilAccepted<T>(call: () => Promise<T>, stageOf: (response: T) => number): Promise<T> {
    for (;;) {
      const response = await this.waiting(call);
      if (stageOf(response) >= ACCEPTED_STAGE) return response;
    }
  }

  private waiting<T>(call: () => Promise<T>): Promise<T> {
    const { connection } = this;
    return connection instanceof Connection ? connection.waitingForUpdate(this.clock, call) : call();
  }

  /** Of who calls: messages inside of requests carry it too. */
  private async identity(): Promise<string> {
    const { connection } = this;
    if (this.options.identity || !(connection instanceof Connection)) return this.options.identity;
    return await connection.identity();
  }
}
