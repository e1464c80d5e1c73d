/** Completes activities from elsewhere: those that threw `CompleteAsyncError`, or whose worker is out of reach. */

import { ensureTemporalFailure } from '@durably/common';
import { encodeErrorToFailure, encodeToPayloads } from '@durably/common/lib/internal-non-workflow';
import { BaseClient, type BaseClientOptions, type LoadedWithDefaults, given } from './base-client';
import {
  ActivityCancelledError,
  ActivityCompletionError,
  ActivityNotFoundError,
  ActivityPausedError,
  ActivityResetError,
  isGrpcServiceError,
  status,
} from './errors';
import { rethrowKnownErrorTypes } from './helpers';
import type { WorkflowService } from './types';

export type AsyncCompletionClientOptions = BaseClientOptions;
export type LoadedAsyncCompletionClientOptions = LoadedWithDefaults<AsyncCompletionClientOptions>;

/** An activity by its ids. Without `runId`, in the workflow's current run. */
export interface FullActivityId {
  workflowId: string;
  runId?: string;
  activityId: string;
}

/** Usually had as {@link Client.activity}. Each method takes the activity's task token or its ids. */
export class AsyncCompletionClient extends BaseClient {
  readonly options: LoadedAsyncCompletionClientOptions;

  constructor(options?: AsyncCompletionClientOptions) {
    super(options);
    this.options = {
      ...this.defaults(),
      ...given(options),
      loadedDataConverter: this.dataConverter,
    };
  }

  /** Raw calls of WorkflowService. They carry the connection's namespace, unless a request names one. */
  get workflowService(): WorkflowService {
    return this.connection.workflowService;
  }

  /**
   * Completes the activity with a result.
   *
   * @throws ActivityNotFoundError if the server does not know the activity (any more).
   */
  async complete(taskTokenOrFullActivityId: Uint8Array | FullActivityId, result: unknown): Promise<void> {
    const fields = { result: await this.payloads([result]) };
    await this.tell(
      taskTokenOrFullActivityId,
      (taskToken) => this.workflowService.respondActivityTaskCompleted({ ...taskToken, ...fields }),
      (ids) => this.workflowService.respondActivityTaskCompletedById({ ...ids, ...fields }),
    );
  }

  /**
   * Fails this attempt; the activity's retry policy decides what follows.
   *
   * @throws ActivityNotFoundError if the server does not know the activity (any more).
   */
  async fail(taskTokenOrFullActivityId: Uint8Array | FullActivityId, err: unknown): Promise<void> {
    const fields = { failure: await encodeErrorToFailure(this.dataConverter, ensureTemporalFailure(err)) };
    await this.tell(
      taskTokenOrFullActivityId,
      (taskToken) => this.workflowService.respondActivityTaskFailed({ ...taskToken, ...fields }),
      (ids) => this.workflowService.respondActivityTaskFailedById({ ...ids, ...fields }),
    );
  }

  /**
   * Reports that the activity has stopped after a request for cancellation.
   *
   * @throws ActivityNotFoundError if the server does not know the activity (any more).
   */
  async reportCancellation(taskTokenOrFullActivityId: Uint8Array | FullActivityId, details?: unknown): Promise<void> {
    const fields = { details: await this.payloads([details]) };
    await this.tell(
      taskTokenOrFullActivityId,
      (taskToken) => this.workflowService.respondActivityTaskCanceled({ ...taskToken, ...fields }),
      (ids) => this.workflowService.respondActivityTaskCanceledById({ ...ids, ...fields }),
    );
  }

  /**
   * Reports progress.
   *
   * @throws ActivityCancelledError, ActivityResetError or ActivityPausedError if the activity should stop.
   * @throws ActivityNotFoundError if the server does not know the activity (any more).
   */
  async heartbeat(taskTokenOrFullActivityId: Uint8Array | FullActivityId, details?: unknown): Promise<void> {
    const fields = { details: await this.payloads([details]) };
    const response = await this.tell(
      taskTokenOrFullActivityId,
      (taskToken) => this.workflowService.recordActivityTaskHeartbeat({ ...taskToken, ...fields }),
      (ids) => this.workflowService.recordActivityTaskHeartbeatById({ ...ids, ...fields }),
    );
    if (response.cancelRequested) throw new ActivityCancelledError('cancelled');
    if (response.activityReset) throw new ActivityResetError('reset');
    if (response.activityPaused) throw new ActivityPausedError('paused');
  }

  private async payloads(values: unknown[]) {
    return { payloads: await encodeToPayloads(this.dataConverter, ...values) };
  }

  private async tell<T>(
    activity: Uint8Array | FullActivityId,
    byToken: (fields: Origin & { taskToken: Uint8Array }) => Promise<T>,
    byIds: (fields: Origin & FullActivityId) => Promise<T>,
  ): Promise<T> {
    const { namespace, identity } = this.options;
    try {
      if (activity instanceof Uint8Array) return await byToken({ namespace, identity, taskToken: activity });
      return await byIds({ namespace, identity, ...activity });
    } catch (error) {
      if (!isGrpcServiceError(error)) throw error;
      rethrowKnownErrorTypes(error);
      if (error.code === status.NOT_FOUND) throw new ActivityNotFoundError(error.details, { cause: error });
      throw new ActivityCompletionError(error.details, { cause: error });
    }
  }
}

interface Origin {
  namespace: string;
  identity: string;
}
