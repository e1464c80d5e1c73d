/** A connection to a server, embedded or remote, and raw access to the services behind it. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { msToNumber, msToTs } from '@durably/common/lib/time';
import { BridgeClient, BridgeError } from '@durably/core-bridge';
import { BackUpRequest, SleepRequest, type durably, type google } from '@durably/proto';
import { type ConnectionOptions, connectOptions, metadataOf } from './connection-options';
import { GrpcServiceError, ServiceError, isGrpcServiceError, status } from './errors';
import { type HealthService, makeHealthService, makeService } from './services';
import type {
  CallContext,
  ConnectionLike,
  Metadata,
  OperatorService,
  TestService,
  WorkflowService,
} from './types';

/** What waits for an update: as long as the server lets it when the user calls it by name, and to the end for a client. */
const WAITS_FOR_UPDATE: readonly string[] = ['UpdateWorkflowExecution', 'PollWorkflowExecutionUpdate', 'ExecuteMultiOperation'];

/**
 * A connection to a server. Clients, and namespaces, may share it.
 *
 * `address` is `host:port`; `embedded:` for a server in this process with its state in memory; or `embedded:PATH` for
 * one with its state in the SQLite file PATH, or the process that owns the file already.
 */
export class Connection implements ConnectionLike {
  /** Raw calls of Temporal's WorkflowService. Empty `namespace`, `identity` and `requestId` are filled in. */
  readonly workflowService: WorkflowService;
  /** Raw calls of OperatorService: search attributes, namespaces, endpoints. */
  readonly operatorService: OperatorService;
  /** Raw calls of TestService; only servers with a virtual clock have it. */
  readonly testService: TestService;
  /** Raw calls of gRPC's health service. */
  readonly healthService: HealthService;
  /** What `withDeadline` and its like have set. */
  readonly callContextStorage = new AsyncLocalStorage<CallContext>();

  private readonly message: durably.core.v1.IConnectOptions;
  private readonly retry: boolean;
  private apiKey: (() => string) | undefined;
  private opening: Promise<BridgeClient> | undefined;
  private checking: Promise<void> | undefined;
  private closed = false;

  /** Connects, and asks the server who it is. Throws a {@link ServiceError} if it can't be reached or refuses. */
  static async connect(options?: ConnectionOptions): Promise<Connection> {
    const connection = this.lazy(options);
    try {
      await connection.ensureConnected();
    } catch (error) {
      await connection.close();
      throw error;
    }
    return connection;
  }

  /** A connection that connects with its first call. */
  static lazy(options?: ConnectionOptions): Connection {
    return new this(options ?? {});
  }

  /** The options that the connection was made with, with the address in full. */
  readonly options: ConnectionOptions & { readonly address: string };

  protected constructor(options: ConnectionOptions) {
    const { apiKey } = options;
    this.apiKey = typeof apiKey === 'string' ? () => apiKey : apiKey;
    this.retry = options.interceptors === undefined;
    this.message = connectOptions(options);
    this.options = { ...options, address: this.message.target ?? '' };
    const service = (name: string): any =>
      makeService(name, (method, request) => this.call(name, method, request));
    this.workflowService = service('temporal.api.workflowservice.v1.WorkflowService');
    this.operatorService = service('temporal.api.operatorservice.v1.OperatorService');
    this.testService = service('temporal.api.testservice.v1.TestService');
    this.healthService = makeHealthService((method, request) => this.call('grpc.health.v1.Health', method, request));
  }

  /** Asks the server who it is, once. Not needed after {@link connect}. */
  ensureConnected(): Promise<void> {
    this.checking ??= this.check().catch((error: unknown) => {
      this.checking = undefined;
      throw error;
    });
    return this.checking;
  }

  private async check(): Promise<void> {
    const timeout = msToNumber(this.options.connectTimeout ?? '10s');
    try {
      await this.withDeadline(Date.now() + timeout, () => this.workflowService.getSystemInfo({}));
    } catch (error) {
      if (!isGrpcServiceError(error)) throw error;
      // An old server, which is none the worse for it.
      if (error.code === status.UNIMPLEMENTED) return;
      const { address } = this.options;
      throw new ServiceError(`Failed to connect to Temporal server at ${address}: ${error.details}`, { cause: error });
    }
  }

  /** Ends the connection for all its users. An embedded server of this process is down when the promise resolves. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const client = await this.opening?.catch(() => undefined);
    await client?.disconnect();
  }

  withDeadline<R>(deadline: number | Date, fn: () => Promise<R>): Promise<R> {
    return this.inContext({ deadline }, fn);
  }

  withAbortSignal<R>(abortSignal: AbortSignal, fn: () => Promise<R>): Promise<R> {
    return this.inContext({ abortSignal }, fn);
  }

  /** Calls made in `fn` carry the metadata, beside what the connection and outer scopes set. */
  withMetadata<R>(metadata: Metadata, fn: () => Promise<R>): Promise<R> {
    return this.inContext({ metadata: { ...this.callContextStorage.getStore()?.metadata, ...metadata } }, fn);
  }

  /** Calls made in `fn` carry this API key instead of the connection's. */
  withApiKey<R>(apiKey: string, fn: () => Promise<R>): Promise<R> {
    return this.withMetadata({ authorization: `Bearer ${apiKey}` }, fn);
  }

  /** Replaces the API key, for the calls of clients that follow. Workers keep the one that they began with. */
  setApiKey(apiKey: string): void {
    if (this.options.apiKey === undefined) {
      throw new TypeError('setApiKey: the connection was made without an API key, so it may not be encrypted');
    }
    this.apiKey = () => apiKey;
  }

  private inContext<R>(context: CallContext, fn: () => Promise<R>): Promise<R> {
    return this.callContextStorage.run({ ...this.callContextStorage.getStore(), ...context }, fn);
  }

  /** The core's client, which workers are started on. @internal */
  bridgeClient(): Promise<BridgeClient> {
    if (this.closed) {
      return Promise.reject(new GrpcServiceError(status.FAILED_PRECONDITION, 'the connection is closed: make another'));
    }
    this.opening ??= BridgeClient.connect({ ...this.message, apiKey: this.apiKey?.() ?? '' }).catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  /** Waits for a workflow's end. @internal */
  async awaitWorkflow(request: durably.core.v1.IAwaitWorkflow): Promise<durably.core.v1.WorkflowResult> {
    return this.carryOut((client, plan) =>
      client.awaitWorkflow({ ...request, timeout: plan.timeout, metadata: plan.metadata }, plan),
    );
  }

  /** Calls made in `fn` wait until an update has come as far as they say. @internal */
  waitingForUpdate<R>(clock: number | undefined, fn: () => Promise<R>): Promise<R> {
    return this.inContext({ update: { clock } }, fn);
  }

  /** Who calls, as histories show it. @internal */
  identity(): Promise<string> {
    return this.carryOut(async ({ identity }) => identity);
  }

  /** Copies the state file of an embedded server; see {@link Client.backup}. */
  async backup(path: string): Promise<void> {
    await this.call('durably.core.v1.Embedded', 'BackUp', BackUpRequest.encode({ path }));
  }

  /** Sleeps by the clock of a server that skips time. @internal */
  async sleep(request: durably.core.v1.ISleepRequest): Promise<void> {
    await this.call('durably.core.v1.Embedded', 'Sleep', SleepRequest.encode(request));
  }

  private async call(service: string, method: string, request: Uint8Array): Promise<Buffer> {
    const { update } = this.callContextStorage.getStore() ?? {};
    const waits = WAITS_FOR_UPDATE.includes(method);
    const retry = this.retry && (update !== undefined || !waits);
    const clock = waits ? update?.clock : undefined;
    return this.carryOut((client, { timeout, metadata, signal }) =>
      client.call({ service, method, request, timeout, metadata, retry, clock }, { signal }),
    );
  }

  private async carryOut<T>(start: (client: BridgeClient, plan: Plan) => Promise<T>): Promise<T> {
    const context = this.callContextStorage.getStore() ?? {};
    try {
      const client = await this.bridgeClient();
      return await start(client, this.plan(context));
    } catch (error) {
      if (error instanceof BridgeError) throw new GrpcServiceError(error.code, error.message, error.status);
      if (context.abortSignal?.aborted) throw new GrpcServiceError(status.CANCELLED, 'the call was given up');
      throw error;
    }
  }

  private plan({ deadline, metadata, abortSignal }: CallContext): Plan {
    const own: Metadata = this.apiKey ? { authorization: `Bearer ${this.apiKey()}` } : {};
    const plan: Plan = { metadata: { ...own, ...metadataOf(metadata ?? {}) }, signal: abortSignal };
    if (deadline === undefined) return plan;
    const left = Number(deadline) - Date.now();
    if (left <= 0) throw new GrpcServiceError(status.DEADLINE_EXCEEDED, 'the deadline has passed');
    return { ...plan, timeout: msToTs(left) };
  }
}

/** How one call is carried out. */
interface Plan {
  readonly timeout?: google.protobuf.IDuration;
  readonly metadata: Metadata;
  readonly signal: AbortSignal | undefined;
}
