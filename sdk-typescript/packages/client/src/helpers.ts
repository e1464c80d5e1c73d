/** From messages to what users see of them, and from a server's errors to theirs. */

import {
  type LoadedDataConverter,
  NamespaceNotFoundError,
  type SearchAttributeValue,
  WorkflowNotFoundError,
  decodePriority,
  defaultPayloadConverter,
} from '@durably/common';
import { searchAttributesFromPayloads, typedSearchAttributesFromPayloads } from '@durably/common/lib/search-attributes';
import { decodeMapFromPayloads, decodeOptionalSinglePayload } from '@durably/common/lib/internal-non-workflow';
import { optionalTsToDate, requiredTsToDate } from '@durably/common/lib/time';
import { decode, encode, type google, type temporal } from '@durably/proto';
import {
  GrpcServiceError,
  ServiceError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  isGrpcServiceError,
  status,
} from './errors';
import type {
  CountWorkflowExecution,
  DescribeWorkflowExecutionResponse,
  RawWorkflowExecutionInfo,
  WorkflowExecution,
  WorkflowExecutionDescription,
  WorkflowExecutionInfo,
  WorkflowExecutionStatusName,
} from './types';

/** By their numbers in Temporal's API. */
const STATUS_NAMES: readonly WorkflowExecutionStatusName[] = [
  'UNSPECIFIED',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TERMINATED',
  'CONTINUED_AS_NEW',
  'TIMED_OUT',
  'PAUSED',
];

/** The run that `raw` describes. */
export async function executionInfoFromRaw<T>(
  raw: RawWorkflowExecutionInfo,
  converter: LoadedDataConverter,
  embedded: T,
): Promise<Omit<WorkflowExecutionInfo, 'raw'> & { raw: T }> {
  const attributes = raw.searchAttributes?.indexedFields ?? {};
  return {
    type: raw.type?.name ?? '',
    workflowId: raw.execution?.workflowId ?? '',
    runId: raw.execution?.runId ?? '',
    taskQueue: raw.taskQueue,
    status: { code: raw.status, name: STATUS_NAMES[raw.status] ?? 'UNKNOWN' },
    historyLength: Number(raw.historyLength),
    historySize: Number(raw.historySizeBytes) || undefined,
    startTime: requiredTsToDate(raw.startTime, 'startTime'),
    executionTime: optionalTsToDate(raw.executionTime),
    closeTime: optionalTsToDate(raw.closeTime),
    memo: await decodeMapFromPayloads(converter, raw.memo?.fields),
    searchAttributes: searchAttributesFromPayloads(attributes),
    typedSearchAttributes: typedSearchAttributesFromPayloads(attributes),
    parentExecution: execution(raw.parentExecution),
    rootExecution: execution(raw.rootExecution),
    priority: decodePriority(raw.priority),
    raw: embedded,
  };
}

function execution(raw: temporal.api.common.v1.WorkflowExecution | undefined): Required<WorkflowExecution> | undefined {
  return raw && { workflowId: raw.workflowId, runId: raw.runId };
}

export async function describeExecution(
  raw: DescribeWorkflowExecutionResponse,
  converter: LoadedDataConverter,
): Promise<WorkflowExecutionDescription> {
  if (!raw.workflowExecutionInfo) throw new TypeError('The server described no workflow');
  const info = await executionInfoFromRaw(raw.workflowExecutionInfo, converter, raw);
  const metadata = raw.executionConfig?.userMetadata;
  return {
    ...info,
    staticSummary: () => decodeOptionalSinglePayload<string>(converter, metadata?.summary),
    staticDetails: () => decodeOptionalSinglePayload<string>(converter, metadata?.details),
  };
}

export function decodeCount(
  raw: temporal.api.workflowservice.v1.CountWorkflowExecutionsResponse,
): CountWorkflowExecution {
  return {
    count: Number(raw.count),
    groups: raw.groups.map((group) => ({
      count: Number(group.count),
      groupValues: group.groupValues.map((value) => defaultPayloadConverter.fromPayload<SearchAttributeValue>(value)),
    })),
  };
}

/** Throws what users know for a server's error: the error itself is the cause. */
export function rethrowGrpcError(error: unknown, message: string, about?: WorkflowExecution): never {
  if (!isGrpcServiceError(error)) throw error;
  rethrowKnownErrorTypes(error);
  if (error.code === status.NOT_FOUND) {
    throw new WorkflowNotFoundError(error.details, about?.workflowId ?? '', about?.runId);
  }
  throw new ServiceError(`${message}: ${error.details}`, { cause: error });
}

/** As `rethrowGrpcError`, for calls of updates: an end of the wait is not the update's. */
export function rethrowUpdateError(error: unknown, message: string, about?: WorkflowExecution): never {
  if (isGrpcServiceError(error) && (error.code === status.DEADLINE_EXCEEDED || error.code === status.CANCELLED)) {
    throw new WorkflowUpdateRPCTimeoutOrCancelledError(error.details, { cause: error });
  }
  rethrowGrpcError(error, message, about);
}

/**
 * Of a call of several operations, the error of the one that has failed: the others only say that they were given up for it.
 * Any other error as it is.
 */
export function errorOfOperation(error: unknown): unknown {
  if (!isGrpcServiceError(error)) return error;
  for (const { typeUrl, value } of detailsOf(error)) {
    if (messageName(typeUrl) !== 'temporal.api.errordetails.v1.MultiOperationExecutionFailure') continue;
    const { statuses } = decode(
      'temporal.api.errordetails.v1.MultiOperationExecutionFailure',
      value,
    ) as temporal.api.errordetails.v1.MultiOperationExecutionFailure;
    const isAborted = (detail: google.protobuf.Any | undefined) =>
      messageName(detail?.typeUrl ?? '') === 'temporal.api.failure.v1.MultiOperationExecutionAborted';
    const failed = statuses.find(({ code, details }) => code !== status.OK && !isAborted(details[0]));
    if (failed) return new GrpcServiceError(failed.code, failed.message, encode('google.rpc.Status', failed));
  }
  return error;
}

function detailsOf(error: GrpcServiceError): google.protobuf.Any[] {
  if (!error.statusDetails?.length) return [];
  return (decode('google.rpc.Status', error.statusDetails) as { details: google.protobuf.Any[] }).details;
}

function messageName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}

/** Throws what the error's details say, if they say it more exactly than its code. */
export function rethrowKnownErrorTypes(error: GrpcServiceError): void {
  for (const { typeUrl, value } of detailsOf(error)) {
    const type = messageName(typeUrl);
    if (type === 'temporal.api.errordetails.v1.NamespaceNotFoundFailure') {
      const failure = decode(type, value) as temporal.api.errordetails.v1.NamespaceNotFoundFailure;
      throw new NamespaceNotFoundError(failure.namespace);
    }
  }
}
