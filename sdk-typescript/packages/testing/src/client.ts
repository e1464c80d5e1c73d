/** Clients that let time skip while they wait for a workflow's result. */

import {
  Client,
  type ClientOptions,
  Connection,
  WorkflowClient,
  type WorkflowClientOptions,
  type WorkflowResultOptions,
} from '@durably/client';
import type { Workflow, WorkflowResultType } from '@durably/common';
import { Clock } from './clock';

/** Options of the environment's client. */
export type ClientOptionsForTestEnv = Omit<ClientOptions, 'namespace' | 'connection'>;

/** A `Client` whose {@link workflow} lets time skip. */
export class TimeSkippingClient extends Client {
  override readonly workflow: WorkflowClient;

  constructor(options: ClientOptions) {
    super(options);
    const { namespace, identity, interceptors, workflow } = this.options;
    this.workflow = new TimeSkippingWorkflowClient({
      connection: this.connection,
      dataConverter: this.dataConverter,
      namespace,
      identity,
      ...workflow,
      interceptors: interceptors.workflow,
    });
  }
}

/** A `WorkflowClient` that lets time skip while it waits for a result. */
export class TimeSkippingWorkflowClient extends WorkflowClient {
  private readonly clock: Clock;

  constructor(options: WorkflowClientOptions) {
    super(options);
    if (!(options.connection instanceof Connection)) {
      throw new TypeError('TimeSkippingWorkflowClient: a connection of durably is needed');
    }
    this.clock = Clock.of(options.connection);
  }

  override result<T extends Workflow>(
    workflowId: string,
    runId?: string,
    opts?: WorkflowResultOptions,
  ): Promise<WorkflowResultType<T>> {
    return this.clock.skippingWhile(() => super.result<T>(workflowId, runId, opts));
  }
}
