/** Environments for testing workflows: an embedded server, with or without a clock that skips time. */

import { inActivityContext } from '@durably/activity';
import { type AsyncCompletionClient, Client, Connection, type WorkflowClient, isGrpcServiceError } from '@durably/client';
import type { Duration, SearchAttributeKey, SearchAttributeType } from '@durably/common';
import { msToNumber, msToTs, tsToMs } from '@durably/common/lib/time';
import { enumOf } from '@durably/proto';
import { NativeConnection, type NativeConnectionOptions } from '@durably/worker';
import { type ClientOptionsForTestEnv, TimeSkippingClient } from './client';


/** Options of `@temporalio/testing` about the server that it downloads and runs. They have no effect here. */
interface Ignored {
  type?: string;
  executable?: unknown;
  extraArgs?: string[];
}

/** The server of {@link TestWorkflowEnvironment.createLocal}. */
export interface DevServerConfig extends Ignored {
  /** Keep the state in this file. Default: in memory. */
  dbFilename?: string;
  /** Made if it isn't there. Default `default`. */
  namespace?: string;
  /** Address to listen on, if a port is given. Default 127.0.0.1. */
  ip?: string;
  /** Listen here too, so that other processes can connect. Default: don't listen. */
  port?: number;
  /** Custom search attributes to define. */
  searchAttributes?: SearchAttributeKey<SearchAttributeType>[];
  /** No effect here. */
  ui?: boolean;
  /** No effect here. */
  uiPort?: number;
  /** No effect here. */
  log?: { format: string; level: string };
}

/** The server of {@link TestWorkflowEnvironment.createTimeSkipping}. */
export interface TimeSkippingServerConfig extends Ignored {
  /** Listen on this port of 127.0.0.1 too. Default: don't listen. */
  port?: number;
}

interface FailFast {
  /**
   * Whoever waits for a workflow's result, or for a query's answer, gets a `ServiceError` as soon as it is known that
   * nothing will come of it until somebody mends something: a workflow task failed by a fault of the code, no worker takes
   * the task, the worker lacks the activity, an activity fails again and again without an end. Default: true. False: wait,
   * as with any other server.
   */
  failFast?: boolean;
}

export interface LocalTestWorkflowEnvironmentOptions extends FailFast {
  server?: DevServerConfig;
  client?: ClientOptionsForTestEnv;
}

export interface TimeSkippingTestWorkflowEnvironmentOptions extends FailFast {
  server?: TimeSkippingServerConfig;
  client?: ClientOptionsForTestEnv;
}

export interface ExistingServerTestWorkflowEnvironmentOptions {
  /** Default `localhost:7233`. */
  address?: string;
  /** Default `default`. */
  namespace?: string;
  client?: ClientOptionsForTestEnv;
}

interface Made {
  connection: NativeConnection;
  address: string;
  namespace: string;
  supportsTimeSkipping: boolean;
  client: ClientOptionsForTestEnv | undefined;
}

/** A server for tests, and a client of it. Call {@link teardown} in the end. */
export class TestWorkflowEnvironment {
  /** For clients. The same as {@link nativeConnection}. */
  readonly connection: Connection;
  /** For workers. */
  readonly nativeConnection: NativeConnection;
  readonly client: Client;
  /** @deprecated Use `client.activity`. */
  readonly asyncCompletionClient: AsyncCompletionClient;
  /** @deprecated Use `client.workflow`. */
  readonly workflowClient: WorkflowClient;
  readonly namespace: string;
  /** Where others connect: `host:port`, or `embedded:` if no port was asked for, which nobody can. */
  readonly address: string;
  /** Whether time can be skipped here. */
  readonly supportsTimeSkipping: boolean;

  private constructor({ connection, address, namespace, supportsTimeSkipping, client }: Made) {
    this.connection = connection;
    this.nativeConnection = connection;
    this.address = address;
    this.namespace = namespace;
    this.supportsTimeSkipping = supportsTimeSkipping;
    const options = { ...client, connection, namespace };
    this.client = supportsTimeSkipping ? new TimeSkippingClient(options) : new Client(options);
    this.asyncCompletionClient = this.client.activity;
    this.workflowClient = this.client.workflow;
  }

  /** A server in this process, with the real clock. */
  static async createLocal(opts?: LocalTestWorkflowEnvironmentOptions): Promise<TestWorkflowEnvironment> {
    const { dbFilename = '', namespace = 'default', ip = '127.0.0.1', port, searchAttributes } = opts?.server ?? {};
    const listen = port === undefined ? undefined : `${ip}:${port}`;
    const connection = await connect({
      address: `embedded:${dbFilename}`,
      embedded: { namespaces: [namespace], listen, failFast: opts?.failFast ?? true },
    });
    const made = { connection, address: listen ?? 'embedded:', namespace, supportsTimeSkipping: false };
    const environment = new TestWorkflowEnvironment({ ...made, client: opts?.client });
    await environment.define(searchAttributes ?? []);
    return environment;
  }

  /**
   * A server in this process whose clock jumps to the next timer whenever nothing runs and somebody waits for a
   * workflow's result, or sleeps by {@link sleep}. The clock is the environment's: tests that share one see each
   * other's skips.
   */
  static async createTimeSkipping(opts?: TimeSkippingTestWorkflowEnvironmentOptions): Promise<TestWorkflowEnvironment> {
    const { port } = opts?.server ?? {};
    const listen = port === undefined ? undefined : `127.0.0.1:${port}`;
    const embedded = { timeSkipping: true, listen, failFast: opts?.failFast ?? true };
    const connection = await connect({ address: 'embedded:', embedded });
    const made = { connection, address: listen ?? 'embedded:', namespace: 'default', supportsTimeSkipping: true };
    return new TestWorkflowEnvironment({ ...made, client: opts?.client });
  }

  /** An environment around a server that runs already; {@link teardown} closes the connection only. */
  static async createFromExistingServer(
    opts?: ExistingServerTestWorkflowEnvironmentOptions,
  ): Promise<TestWorkflowEnvironment> {
    const { address = 'localhost:7233', namespace = 'default', client } = opts ?? {};
    const connection = await connect({ address });
    return new TestWorkflowEnvironment({ connection, address, namespace, supportsTimeSkipping: false, client });
  }

  private async define(keys: SearchAttributeKey<SearchAttributeType>[]): Promise<void> {
    if (keys.length === 0) return;
    const { numbers } = enumOf('temporal.api.enums.v1.IndexedValueType');
    const searchAttributes = Object.fromEntries(
      keys.map(({ name, type }) => [name, numbers.get(`INDEXED_VALUE_TYPE_${type}`) ?? 0]),
    );
    try {
      await this.connection.operatorService.addSearchAttributes({ namespace: this.namespace, searchAttributes });
    } catch (error) {
      // A server that takes any search attribute has no need to know them.
      if (!isGrpcServiceError(error) || error.code !== 12) throw error;
    }
  }

  /** Sleeps; in an environment that skips time, by moving its clock. */
  sleep = async (durationMs: Duration): Promise<void> => {
    if (this.supportsTimeSkipping) {
      const request = { duration: msToTs(durationMs), inActivity: inActivityContext() };
      return this.connection.sleep(request);
    }
    await new Promise((resolve) => setTimeout(resolve, msToNumber(durationMs)));
  };

  /** The environment's time, in milliseconds since the epoch. */
  async currentTimeMs(): Promise<number> {
    if (!this.supportsTimeSkipping) return Date.now();
    const { time } = await this.connection.testService.getCurrentTime();
    return tsToMs(time);
  }

  /** Closes the connection, and stops the server if it is the environment's. */
  async teardown(): Promise<void> {
    await this.connection.close();
  }
}

async function connect(options: NativeConnectionOptions): Promise<NativeConnection> {
  return NativeConnection.connect(options);
}
