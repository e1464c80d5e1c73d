/** Lists of runs, fetched page by page, and their histories. */

import type { HistoryAndWorkflowId } from '@durably/common';
import { executionInfoFromRaw, rethrowGrpcError } from './helpers';
import { mapAsyncIterable } from './iterators';
import type { WorkflowExecutionInfo } from './types';
import type { WorkflowClient } from './workflow-client';

/** Options of {@link WorkflowClient.list}. */
export interface ListOptions {
  /** Runs per call. Default: what the server likes. */
  pageSize?: number;
  /** A list filter, for example `ExecutionStatus = 'Running'`. Default: all. */
  query?: string;
}

/** Options of {@link AsyncWorkflowListIterable.intoHistories}. */
export interface IntoHistoriesOptions {
  /** Histories fetched at one time. Default 5. */
  concurrency?: number;
  /** Histories fetched ahead of who consumes them. Default: no limit. */
  bufferLimit?: number;
}

/** Runs that match a filter. Each loop over it asks the server anew. */
export interface AsyncWorkflowListIterable extends AsyncIterable<WorkflowExecutionInfo> {
  /** The history of each run, as they come in: for replaying them. */
  intoHistories: (options?: IntoHistoriesOptions) => AsyncIterable<HistoryAndWorkflowId>;
}

export class WorkflowList implements AsyncWorkflowListIterable {
  constructor(
    private readonly client: WorkflowClient,
    private readonly options: ListOptions,
  ) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<WorkflowExecutionInfo, void> {
    const { namespace, loadedDataConverter } = this.client.options;
    const { pageSize, query } = this.options;
    let nextPageToken: Uint8Array | undefined;
    do {
      const page = await this.client.workflowService
        .listWorkflowExecutions({ namespace, query, nextPageToken, pageSize })
        .catch((error: unknown) => rethrowGrpcError(error, 'Failed to list workflows'));
      for (const raw of page.executions) yield await executionInfoFromRaw(raw, loadedDataConverter, raw);
      nextPageToken = page.nextPageToken;
    } while (nextPageToken.length > 0);
  }

  intoHistories({ concurrency = 5, bufferLimit }: IntoHistoriesOptions = {}): AsyncIterable<HistoryAndWorkflowId> {
    return mapAsyncIterable(
      this,
      async ({ workflowId, runId }) => {
        const history = await this.client.getHandle(workflowId, runId).fetchHistory();
        return { workflowId, history };
      },
      { concurrency, bufferLimit },
    );
  }
}
