/** The client: everything that a program asks of a server. */

import { AsyncCompletionClient } from './async-completion-client';
import { Connection } from './connection';
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

  /**
   * Copies the state of an embedded server to a new file, while workflows go on. The copy is one file with all that was
   * acknowledged before the call. To restore it, put it where the state file was while no server runs, without the old
   * file's `-wal`. This is not in `@temporalio/client`.
   *
   * @param path Of the copy. Nothing may be there yet; its directory must exist.
   * @throws {GrpcServiceError} INVALID_ARGUMENT when something is at `path`; FAILED_PRECONDITION when the state is in
   *   memory, or not in this process: `durably server backup` copies it where its file is.
   */
  async backup(path: string): Promise<void> {
    if (!(this.connection instanceof Connection)) throw new TypeError('backup: the connection was not made by durably');
    await this.connection.backup(path);
  }
}

addMissingOfClient(Client.prototype);
