/** Clients that let time skip while they wait for a workflow's result. */

import { Client, type ClientOptions, WorkflowClient } from '@durably/client';
import { enumOf } from '@durably/proto';

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

/**
 * A `WorkflowClient` that lets time skip while it waits for a result. Any client does on a connection with the option
 * `embedded.timeSkipping`; this one also does where the server is behind a port.
 */
export class TimeSkippingWorkflowClient extends WorkflowClient {
  protected override readonly clock = enumOf('durably.core.v1.AwaitWorkflow.Clock').numbers.get('SKIPPING');
}
