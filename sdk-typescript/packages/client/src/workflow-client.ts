/** Starts workflows and talks to them. */

import { toJson } from '@durably/proto';
import {
  type BaseWorkflowHandle,
  type History,
  type QueryDefinition,
  type SignalDefinition,
  type UpdateDefinition,
  type WithWorkflowArgs,
  type Workflow,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowResultType,
  extractWorkflowType,
} from '@durably/common';
import { composeInterceptors } from '@durably/common/lib/interceptors';
import { decodeFromPayloadsAtIndex, encodeToPayloads } from '@durably/common/lib/internal-non-workflow';
import { BaseClient, type BaseClientOptions, type LoadedWithDefaults, given } from './base-client';
import { Connection } from './connection';
import { QueryNotRegisteredError, QueryRejectedError, ServiceError, isGrpcServiceError, status } from './errors';
import { decodeCount, describeExecution, rethrowGrpcError } from './helpers';
import type {
  WorkflowCancelInput,
  WorkflowClientInterceptor,
  WorkflowClientInterceptors,
  WorkflowDescribeInput,
  WorkflowQueryInput,
  WorkflowSignalInput,
  WorkflowSignalWithStartInput,
  WorkflowStartInput,
  WorkflowStartOutput,
  WorkflowStartUpdateInput,
  WorkflowStartUpdateWithStartInput,
  WorkflowTerminateInput,
} from './interceptors';
import { type AsyncWorkflowListIterable, type ListOptions, WorkflowList } from './workflow-list';
import { resultOf } from './workflow-result';
import { signalWithStartRequest, startRequest } from './workflow-start';
import {
  COMPLETED_STAGE,
  type WithStartWorkflowOperation,
  type WorkflowUpdateHandle,
  type WorkflowUpdateStage,
  compileUpdate,
  encodeWorkflowUpdateStage,
} from './workflow-update';
import { type SentUpdate, UpdateCalls } from './workflow-update-calls';
import {
  type CountWorkflowExecution,
  type DescribeWorkflowExecutionResponse,
  type QueryRejectCondition,
  type RequestCancelWorkflowExecutionResponse,
  type TerminateWorkflowExecutionResponse,
  type WorkflowService,
  encodeQueryRejectCondition,
} from './types';
import type {
  GetWorkflowHandleOptions,
  WorkflowHandle,
  WorkflowHandleWithFirstExecutionRunId,
  WorkflowHandleWithSignaledRunId,
  WorkflowResultOptions,
} from './workflow-handle';
import {
  type WorkflowOptions,
  type WorkflowSignalWithStartOptions,
  type WorkflowStartOptions,
  type WorkflowUpdateOptions,
  compileWorkflowOptions,
} from './workflow-options';

export interface WorkflowClientOptions extends BaseClientOptions {
  /** See, change or replace what this client asks of the server; the first is the outermost. */
  interceptors?: WorkflowClientInterceptor[] | WorkflowClientInterceptors;
  /** In which states of the workflow a query is not put to it. Default: it always is. */
  queryRejectCondition?: QueryRejectCondition;
}

export type LoadedWorkflowClientOptions = LoadedWithDefaults<WorkflowClientOptions>;

interface HandleTarget extends GetWorkflowHandleOptions {
  workflowId: string;
  runId?: string;
  /** The run that `result` begins with; nothing means the current one. */
  runIdForResult?: string;
}

/** Usually had as {@link Client.workflow}. */
export class WorkflowClient extends BaseClient {
  readonly options: LoadedWorkflowClientOptions;
  /** What `result` lets the clock of a server that skips time do: as the connection says, or a value of the contract's enum. @internal */
  protected readonly clock: number | undefined;

  constructor(options?: WorkflowClientOptions) {
    super(options);
    this.options = {
      ...this.defaults(),
      interceptors: [],
      queryRejectCondition: 'NONE',
      ...given(options),
      loadedDataConverter: this.dataConverter,
    };
  }

  /** Raw calls of WorkflowService. They carry the connection's namespace, unless a request names one. */
  get workflowService(): WorkflowService {
    return this.connection.workflowService;
  }

  /**
   * Starts a workflow.
   *
   * @throws WorkflowExecutionAlreadyStartedError if the id is taken, and the id policies don't allow a start.
   */
  async start<T extends Workflow>(
    workflowTypeOrFunc: string | T,
    options: WorkflowStartOptions<T>,
  ): Promise<WorkflowHandleWithFirstExecutionRunId<T>> {
    const { runId, eagerlyStarted } = await this.begin(workflowTypeOrFunc, options);
    const { workflowId, followRuns } = options;
    const handle = this.handle<T>({ workflowId, followRuns, firstExecutionRunId: runId, runIdForResult: runId });
    return Object.assign(handle, { firstExecutionRunId: runId, eagerlyStarted });
  }

  /** Starts a workflow and waits for its result. As {@link start}, then {@link WorkflowHandle.result}. */
  async execute<T extends Workflow>(
    workflowTypeOrFunc: string | T,
    options: WorkflowStartOptions<T>,
  ): Promise<WorkflowResultType<T>> {
    const { runId } = await this.begin(workflowTypeOrFunc, options);
    return this.result(options.workflowId, runId, { followRuns: options.followRuns });
  }

  private async begin<T extends Workflow>(
    workflow: string | T,
    options: WorkflowStartOptions<T>,
  ): Promise<WorkflowStartOutput> {
    const compiled = compileWorkflowOptions(options as WorkflowOptions & { args?: unknown[] });
    const interceptors = this.interceptorsFor(options.workflowId);
    // Interceptors of the older kind know the run's id only.
    const start = async (input: WorkflowStartInput): Promise<WorkflowStartOutput> => {
      let details: WorkflowStartOutput | undefined;
      const older = composeInterceptors(interceptors, 'start', async (changed: WorkflowStartInput) => {
        details = await this.startHandler(changed);
        return details.runId;
      });
      const runId = await older(input);
      return { runId, eagerlyStarted: details?.eagerlyStarted ?? false };
    };
    return composeInterceptors(
      interceptors,
      'startWithDetails',
      start,
    )({
      workflowType: extractWorkflowType(workflow),
      headers: {},
      options: compiled,
    });
  }

  /**
   * Sends a signal, and starts the workflow if it is not running.
   *
   * @throws WorkflowExecutionAlreadyStartedError if the id is taken, and the id policies don't allow a start.
   */
  async signalWithStart<T extends Workflow, SignalArgs extends any[] = []>(
    workflowTypeOrFunc: string | T,
    options: WithWorkflowArgs<T, WorkflowSignalWithStartOptions<SignalArgs>>,
  ): Promise<WorkflowHandleWithSignaledRunId<T>> {
    const { signal, signalArgs, ...rest } = options as WorkflowOptions & {
      signal: SignalDefinition | string;
      signalArgs?: unknown[];
      args?: unknown[];
    };
    const interceptors = this.interceptorsFor(rest.workflowId);
    const call = composeInterceptors(interceptors, 'signalWithStart', (input: WorkflowSignalWithStartInput) =>
      this.signalWithStartHandler(input),
    );
    const signaledRunId = await call({
      options: compileWorkflowOptions(rest),
      headers: {},
      workflowType: extractWorkflowType(workflowTypeOrFunc),
      signalName: nameOf(signal),
      signalArgs: signalArgs ?? [],
    });
    const { workflowId, followRuns } = rest;
    // Whether that run is the first of its chain is not known, since others may have started it.
    const handle = this.handle<T>({ workflowId, followRuns, runIdForResult: signaledRunId });
    return Object.assign(handle, { signaledRunId });
  }

  /**
   * Starts a workflow unless it runs already, sends it an update, and waits for the update's result. Both happen, or
   * neither does. {@link WithStartWorkflowOperation.workflowHandle} has the workflow, also when the update fails.
   *
   * @throws WorkflowExecutionAlreadyStartedError if the id is taken, and the conflict policy doesn't allow to use that run.
   * @throws WorkflowUpdateFailedError if the update is turned away or fails.
   * @throws WorkflowUpdateRPCTimeoutOrCancelledError if the wait was given up; the update goes on.
   */
  async executeUpdateWithStart<T extends Workflow, Ret, Args extends any[]>(
    updateDef: UpdateDefinition<Ret, Args> | string,
    updateOptions: WorkflowUpdateOptions & { args?: Args; startWorkflowOperation: WithStartWorkflowOperation<T> },
  ): Promise<Ret> {
    const sent = await this.sendUpdateWithStart(updateDef, { ...updateOptions, waitForStage: 'COMPLETED' });
    return await this.updates.handle<Ret>(sent).result();
  }

  /** As {@link executeUpdateWithStart}, but waits only until the workflow has accepted the update or turned it away. */
  async startUpdateWithStart<T extends Workflow, Ret, Args extends any[]>(
    updateDef: UpdateDefinition<Ret, Args> | string,
    updateOptions: WorkflowUpdateOptions & {
      args?: Args;
      waitForStage: 'ACCEPTED';
      startWorkflowOperation: WithStartWorkflowOperation<T>;
    },
  ): Promise<WorkflowUpdateHandle<Ret>> {
    return this.updates.handle<Ret>(await this.sendUpdateWithStart(updateDef, updateOptions));
  }

  private async sendUpdateWithStart<T extends Workflow>(
    definition: UpdateDefinition<any, any> | string,
    given: WorkflowUpdateOptions & {
      args?: unknown[];
      waitForStage: WorkflowUpdateStage;
      startWorkflowOperation: WithStartWorkflowOperation<T>;
    },
  ): Promise<SentUpdate> {
    const { updateName, args: updateArgs, options } = compileUpdate(definition, given);
    const { startWorkflowOperation: operation, waitForStage, ...updateOptions } = options;
    const stage = encodeWorkflowUpdateStage(waitForStage);
    const { workflowTypeOrFunc, options: startOptions } = operation;
    const { resolve, reject } = operation.begin();
    const { workflowId, followRuns } = startOptions;
    try {
      const interceptors = this.interceptorsFor(workflowId);
      const send = composeInterceptors(interceptors, 'startUpdateWithStart', (input: WorkflowStartUpdateWithStartInput) =>
        this.updates.startWithStart(input, stage, (firstExecutionRunId) =>
          resolve(this.handle<T>({ workflowId, firstExecutionRunId, followRuns })),
        ),
      );
      const sent = await send({
        workflowType: extractWorkflowType(workflowTypeOrFunc),
        workflowStartOptions: compileWorkflowOptions(startOptions as WorkflowOptions & { args?: unknown[] }),
        workflowStartHeaders: {},
        updateName,
        updateArgs,
        updateOptions,
        updateHeaders: {},
      });
      const { updateId, workflowExecution, updateOutcome: outcome } = sent;
      return await this.reached(stage, { updateId, workflowExecution, outcome });
    } catch (error) {
      // Does nothing if the workflow has started.
      reject(error);
      throw error;
    }
  }

  /** The update, with its outcome if that was to be awaited: a server may answer before. */
  private async reached(stage: number, sent: SentUpdate): Promise<SentUpdate> {
    if (sent.outcome || stage < COMPLETED_STAGE) return sent;
    return { ...sent, outcome: await this.updates.outcome(sent.updateId, sent.workflowExecution) };
  }

  /** Made when it is needed: subclasses say what their clock does. */
  private get updates(): UpdateCalls {
    return new UpdateCalls(this.connection, this.options, this.clock);
  }

  /**
   * Waits until the workflow closes and returns its result, for as long as it takes.
   *
   * @throws WorkflowFailedError if the workflow failed, timed out, or was cancelled or terminated; see its `cause`.
   * @throws WorkflowContinuedAsNewError if it continued as new, and runs are not followed.
   * @throws WorkflowNotFoundError if there is no such workflow.
   */
  async result<T extends Workflow>(
    workflowId: string,
    runId?: string,
    opts?: WorkflowResultOptions,
  ): Promise<WorkflowResultType<T>> {
    const { connection, clock } = this;
    if (!(connection instanceof Connection)) {
      throw new TypeError('result: the client was made with a connection that is none of durably');
    }
    const { namespace } = this.options;
    const request = { namespace, workflowId, runId, followRuns: opts?.followRuns ?? true, clock };
    const ended = await connection
      .awaitWorkflow(request)
      .catch((error: unknown) =>
        rethrowGrpcError(error, 'Failed to get Workflow execution history', { workflowId, runId }),
      );
    return (await resultOf(ended, this.dataConverter)) as WorkflowResultType<T>;
  }

  /**
   * A handle on an existing workflow; the server is not asked whether it exists.
   *
   * With `runId`, everything is about that run. Otherwise it is about the current run at the time of each call.
   */
  getHandle<T extends Workflow>(workflowId: string, runId?: string, options?: GetWorkflowHandleOptions): WorkflowHandle<T> {
    const runIdForResult = runId ?? options?.firstExecutionRunId;
    return this.handle<T>({ workflowId, runId, runIdForResult, ...options });
  }

  /**
   * Runs that match a list filter, for example `WorkflowType = 'order' AND ExecutionStatus = 'Running'`: an async
   * iterable that fetches pages as it goes.
   */
  list(options?: ListOptions): AsyncWorkflowListIterable {
    return new WorkflowList(this, options ?? {});
  }

  /** How many runs match a list filter. */
  async count(query?: string): Promise<CountWorkflowExecution> {
    const request = { namespace: this.options.namespace, query };
    const response = await this.workflowService
      .countWorkflowExecutions(request)
      .catch((error: unknown) => rethrowGrpcError(error, 'Failed to count workflows'));
    return decodeCount(response);
  }

  private handle<T extends Workflow>(target: HandleTarget): WorkflowHandle<T> {
    const { workflowId, runId, firstExecutionRunId, runIdForResult, followRuns } = target;
    const { queryRejectCondition } = this.options;
    const interceptors = this.interceptorsFor(workflowId, runId);
    const workflowExecution = { workflowId, runId };
    const through = <K extends keyof WorkflowClientInterceptor>(name: K, handler: (input: any) => Promise<any>) =>
      composeInterceptors(interceptors, name, handler as never) as (input: any) => Promise<any>;
    const sendUpdate = async (
      definition: UpdateDefinition<any, any> | string,
      given: (WorkflowUpdateOptions & { waitForStage?: WorkflowUpdateStage }) | undefined,
      until?: 'COMPLETED',
    ): Promise<SentUpdate> => {
      const { updateName, args, options: { waitForStage, ...options } } = compileUpdate(definition, given);
      const stage = encodeWorkflowUpdateStage(until ?? waitForStage);
      const input: WorkflowStartUpdateInput = { workflowExecution, firstExecutionRunId, updateName, args, headers: {}, options };
      const { updateId, workflowRunId, outcome } = await through('startUpdate', (changed) => this.updates.start(changed, stage))(input);
      return this.reached(stage, { updateId, workflowExecution: { workflowId, runId: workflowRunId }, outcome });
    };
    const handle: BaseWorkflowHandle<T> & WorkflowHandle<T> = {
      client: this,
      workflowId,
      result: () => this.result(workflowId, runIdForResult, { followRuns }),
      signal: <Args extends any[]>(def: SignalDefinition<Args> | string, ...args: Args): Promise<void> =>
        through('signal', (input) => this.signalHandler(input))({
          workflowExecution,
          signalName: nameOf(def),
          args,
          headers: {},
        }),
      query: <Ret, Args extends any[]>(def: QueryDefinition<Ret, Args> | string, ...args: Args): Promise<Ret> =>
        through('query', (input) => this.queryHandler(input))({
          workflowExecution,
          queryRejectCondition: encodeQueryRejectCondition(queryRejectCondition),
          queryType: nameOf(def),
          args,
          headers: {},
        }),
      executeUpdate: async <Ret>(definition: UpdateDefinition<Ret, any> | string, options?: WorkflowUpdateOptions) =>
        this.updates.handle<Ret>(await sendUpdate(definition, options, 'COMPLETED')).result(),
      startUpdate: async <Ret>(
        definition: UpdateDefinition<Ret, any> | string,
        options: WorkflowUpdateOptions & { waitForStage: WorkflowUpdateStage },
      ) => this.updates.handle<Ret>(await sendUpdate(definition, options)),
      getUpdateHandle: (updateId, options) =>
        this.updates.handle({ updateId, workflowExecution: { workflowId, runId: options?.workflowRunId ?? runId } }),
      cancel: () => through('cancel', (input) => this.cancelHandler(input))({ workflowExecution, firstExecutionRunId }),
      terminate: (reason) =>
        through('terminate', (input) => this.terminateHandler(input))({
          workflowExecution,
          reason,
          firstExecutionRunId,
        }),
      describe: async () => {
        const raw = await through('describe', (input) => this.describeHandler(input))({ workflowExecution });
        return describeExecution(raw, this.dataConverter);
      },
      fetchHistory: () => this.history(workflowId, runId),
    };
    return handle;
  }

  private interceptorsFor(workflowId: string, runId?: string): WorkflowClientInterceptor[] {
    const { interceptors } = this.options;
    return Array.isArray(interceptors)
      ? interceptors
      : (interceptors.calls ?? []).map((factory) => factory({ workflowId, runId }));
  }

  private async history(workflowId: string, runId: string | undefined): Promise<History> {
    const { namespace } = this.options;
    const events: NonNullable<History['events']> = [];
    let nextPageToken: Uint8Array | undefined;
    do {
      const request = { namespace, execution: { workflowId, runId }, nextPageToken };
      const page = await this.workflowService
        .getWorkflowExecutionHistory(request)
        .catch((error: unknown) =>
          rethrowGrpcError(error, 'Failed to get Workflow execution history', { workflowId, runId }),
        );
      events.push(...(page.history?.events ?? []));
      nextPageToken = page.nextPageToken;
    } while (nextPageToken.length > 0);
    return withJson({ events });
  }

  private async startHandler({ workflowType, headers, options }: WorkflowStartInput): Promise<WorkflowStartOutput> {
    const request = await startRequest(workflowType, headers, options, this.options);
    try {
      const response = await this.workflowService.startWorkflowExecution(request);
      return { runId: response.runId, eagerlyStarted: response.eagerWorkflowTask !== undefined };
    } catch (error) {
      throwIfStarted(error, options.workflowId, workflowType);
      rethrowGrpcError(error, 'Failed to start Workflow', { workflowId: options.workflowId });
    }
  }

  private async signalWithStartHandler(input: WorkflowSignalWithStartInput): Promise<string> {
    const { workflowId } = input.options;
    const request = await signalWithStartRequest(input, this.options);
    try {
      return (await this.workflowService.signalWithStartWorkflowExecution(request)).runId;
    } catch (error) {
      throwIfStarted(error, workflowId, input.workflowType);
      rethrowGrpcError(error, 'Failed to signalWithStart Workflow', { workflowId });
    }
  }

  private async signalHandler({ workflowExecution, signalName, args, headers }: WorkflowSignalInput): Promise<void> {
    const { namespace, identity } = this.options;
    const input = { payloads: await encodeToPayloads(this.dataConverter, ...args) };
    const header = { fields: headers };
    await this.workflowService
      .signalWorkflowExecution({ namespace, identity, workflowExecution, signalName, input, header })
      .catch((error: unknown) => rethrowGrpcError(error, 'Failed to signal Workflow', workflowExecution));
  }

  private async queryHandler(input: WorkflowQueryInput): Promise<unknown> {
    const { workflowExecution: execution, queryType, queryRejectCondition } = input;
    const queryArgs = { payloads: await encodeToPayloads(this.dataConverter, ...input.args) };
    const query = { queryType, queryArgs, header: { fields: input.headers } };
    const { namespace } = this.options;
    const response = await this.workflowService
      .queryWorkflow({ namespace, execution, query, queryRejectCondition })
      .catch((error: unknown) => {
        if (isGrpcServiceError(error) && error.code === status.INVALID_ARGUMENT) {
          throw new QueryNotRegisteredError(error.details, error.code);
        }
        if (isGrpcServiceError(error) && error.code === status.DEADLINE_EXCEEDED) {
          const advice = 'Queries are answered by a worker: is one running that polls the task queue of this workflow?';
          throw new ServiceError(`Failed to query Workflow: ${error.details}. ${advice}`, { cause: error });
        }
        rethrowGrpcError(error, 'Failed to query Workflow', execution);
      });
    if (response.queryRejected) throw new QueryRejectedError(response.queryRejected.status);
    return decodeFromPayloadsAtIndex(this.dataConverter, 0, response.queryResult?.payloads);
  }

  private cancelHandler(input: WorkflowCancelInput): Promise<RequestCancelWorkflowExecutionResponse> {
    const { namespace, identity } = this.options;
    return this.workflowService
      .requestCancelWorkflowExecution({ namespace, identity, ...input })
      .catch((error: unknown) => rethrowGrpcError(error, 'Failed to cancel workflow', input.workflowExecution));
  }

  private async terminateHandler(input: WorkflowTerminateInput): Promise<TerminateWorkflowExecutionResponse> {
    const { namespace, identity } = this.options;
    const details = input.details && { payloads: await encodeToPayloads(this.dataConverter, ...input.details) };
    return this.workflowService
      .terminateWorkflowExecution({ namespace, identity, ...input, details })
      .catch((error: unknown) => rethrowGrpcError(error, 'Failed to terminate Workflow', input.workflowExecution));
  }

  private describeHandler(input: WorkflowDescribeInput): Promise<DescribeWorkflowExecutionResponse> {
    const { namespace } = this.options;
    return this.workflowService
      .describeWorkflowExecution({ namespace, execution: input.workflowExecution })
      .catch((error: unknown) => rethrowGrpcError(error, 'Failed to describe workflow', input.workflowExecution));
  }
}

/** `JSON.stringify` of the history gives the form in which tools show and workers replay it. */
function withJson(history: History): History {
  return Object.defineProperty(history, 'toJSON', { value: () => toJson('temporal.api.history.v1.History', history) });
}

function nameOf(definition: string | { readonly name: string }): string {
  return typeof definition === 'string' ? definition : definition.name;
}

function throwIfStarted(error: unknown, workflowId: string, workflowType: string): void {
  if (isGrpcServiceError(error) && error.code === status.ALREADY_EXISTS) {
    throw new WorkflowExecutionAlreadyStartedError('Workflow execution already started', workflowId, workflowType);
  }
}
