/** `WorkflowInfo` of what the core says about a run. */

import type { FailureConverter, PayloadConverter } from '@durably/common';
import { fromPayloadsAtIndex, mapFromPayloads } from '@durably/common/lib/converter/payload-converter';
import { decodePriority } from '@durably/common/lib/priority';
import { decompileRetryPolicy } from '@durably/common/lib/retry-policy';
import { searchAttributesFromPayloads, typedSearchAttributesFromPayloads } from '@durably/common/lib/search-attributes';
import { optionalTsToDate, optionalTsToMs } from '@durably/common/lib/time';
import type { durably } from '@durably/proto';
import type { WorkflowInfo } from '../info';

/** Without what changes from one activation to the next. */
export type FixedInfo = Omit<
  WorkflowInfo,
  'historyLength' | 'historySize' | 'continueAsNewSuggested' | 'unsafe' | 'currentBuildId'
>;

export function makeInfo(
  start: durably.core.v1.InitializeWorkflow,
  runId: string,
  now: Date,
  payloads: PayloadConverter,
  failures: FailureConverter,
): FixedInfo {
  const { parent, root } = start;
  const indexed = start.searchAttributes?.indexedFields;
  const startTime = optionalTsToDate(start.startTime) ?? now;
  return {
    workflowId: start.workflowId,
    runId,
    workflowType: start.workflowType,
    searchAttributes: searchAttributesFromPayloads(indexed),
    typedSearchAttributes: typedSearchAttributesFromPayloads(indexed),
    memo: mapFromPayloads(payloads, start.memo?.fields),
    parent: parent && { workflowId: parent.workflowId, runId: parent.runId, namespace: start.parentNamespace },
    root: root && { workflowId: root.workflowId, runId: root.runId },
    lastResult: fromPayloadsAtIndex(payloads, 0, start.lastCompletionResult?.payloads),
    lastFailure: start.lastFailure && failures.failureToError(start.lastFailure, payloads),
    taskQueue: start.taskQueue,
    namespace: start.namespace,
    firstExecutionRunId: start.firstExecutionRunId,
    continuedFromExecutionRunId: start.continuedFromExecutionRunId || undefined,
    startTime,
    runStartTime: now,
    executionTimeoutMs: optionalTsToMs(start.executionTimeout),
    runTimeoutMs: optionalTsToMs(start.runTimeout),
    taskTimeoutMs: optionalTsToMs(start.taskTimeout) ?? 10_000,
    retryPolicy: decompileRetryPolicy(start.retryPolicy),
    attempt: start.attempt,
    cronSchedule: start.cronSchedule || undefined,
    priority: decodePriority(start.priority),
  };
}
