/** The client: everything that a program asks of a server. */

import { AsyncCompletionClient } from './async-completion-client';
import { BaseClient, type BaseClientOptions, type LoadedWithDefaults, given } from './base-client';
import type { ClientInterceptors } from './interceptors';
import { addMissingOfClient } from './missing-features';
import type { QueryRejectCondition, WorkflowService } from './types';
import { WorkflowClient } from './workflow-client';

export interface ClientOptions extends BaseClientOptions {
  /** See, change or replace what the client asks of the server. */
  interceptors?: ClientInterceptors;
  workflow?: {
    /** In which states of the workflow a query is not put to it. Default: it always is. */
    queryRejectCondition?: QueryRejectCondition;
  };
}

export type LoadedClientOptions = LoadedWithDefaults<ClientOptions>;

/** Cheap to make; what costs is its connection, which several clients may share. */
export class Client extends BaseClient {
  readonly options: LoadedClientOptions;
  /** Starts workflows and talks to them. */
  readonly workflow: WorkflowClient;
  /** Completes activities from elsewhere, by task token or by ids. */
  readonly activity: AsyncCompletionClient;

  constructor(options?: ClientOptions) {
    super(options);
    this.options = {
      ...this.defaults(),
      interceptors: {},
      workflow: {},
      ...given(options),
      loadedDataConverter: this.dataConverter,
    };
    const { namespace, identity, interceptors, workflow } = this.options;
    const base = { connection: this.connection, dataConverter: this.dataConverter, namespace, identity };
    this.workflow = new WorkflowClient({ ...base, ...workflow, interceptors: interceptors.workflow });
    this.activity = new AsyncCompletionClient(base);
  }

  /** Raw calls of WorkflowService. They carry the connection's namespace, unless a request names one. */
  get workflowService(): WorkflowService {
    return this.connection.workflowService;
  }
}

addMissingOfClient(Client.prototype);
