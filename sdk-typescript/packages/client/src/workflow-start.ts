/** The requests that start a workflow. */

import {
  compilePriority,
  compileRetryPolicy,
  encodeWorkflowIdConflictPolicy,
  encodeWorkflowIdReusePolicy,
} from '@durably/common';
import { searchAttributesToPayloads } from '@durably/common/lib/search-attributes';
import { encodeMapToPayloads, encodeToPayloads, encodeUserMetadata } from '@durably/common/lib/internal-non-workflow';
import type { LoadedDataConverter } from '@durably/common';
import type { temporal } from '@durably/proto';
import type { Headers, WorkflowSignalWithStartInput } from './interceptors';
import type { CompiledWorkflowOptions } from './workflow-options';


/** What a client knows beside the options of the start. */
interface Origin {
  readonly namespace: string;
  readonly identity: string;
  readonly loadedDataConverter: LoadedDataConverter;
}

/** What both kinds of start have in common. */
async function common(workflowType: string, headers: Headers, options: CompiledWorkflowOptions, origin: Origin) {
  const { loadedDataConverter: converter, namespace, identity } = origin;
  const { memo, retry } = options;
  const indexedFields = searchAttributesToPayloads(options.searchAttributes, options.typedSearchAttributes);
  return {
    namespace,
    identity,
    workflowId: options.workflowId,
    workflowType: { name: workflowType },
    taskQueue: { name: options.taskQueue, kind: 1 },
    input: { payloads: await encodeToPayloads(converter, ...options.args) },
    workflowExecutionTimeout: options.workflowExecutionTimeout,
    workflowRunTimeout: options.workflowRunTimeout,
    workflowTaskTimeout: options.workflowTaskTimeout,
    workflowStartDelay: options.startDelay,
    workflowIdReusePolicy: encodeWorkflowIdReusePolicy(options.workflowIdReusePolicy),
    workflowIdConflictPolicy: encodeWorkflowIdConflictPolicy(options.workflowIdConflictPolicy),
    retryPolicy: retry && compileRetryPolicy(retry),
    cronSchedule: options.cronSchedule,
    memo: memo && { fields: await encodeMapToPayloads(converter, memo) },
    searchAttributes: indexedFields && { indexedFields },
    header: { fields: headers },
    userMetadata: await encodeUserMetadata(converter, options.staticSummary, options.staticDetails),
    priority: options.priority && compilePriority(options.priority),
  };
}

export function startRequest(
  workflowType: string,
  headers: Headers,
  options: CompiledWorkflowOptions,
  origin: Origin,
): Promise<temporal.api.workflowservice.v1.IStartWorkflowExecutionRequest> {
  return common(workflowType, headers, options, origin);
}

export async function signalWithStartRequest(
  { workflowType, headers, options, signalName, signalArgs }: WorkflowSignalWithStartInput,
  origin: Origin,
): Promise<temporal.api.workflowservice.v1.ISignalWithStartWorkflowExecutionRequest> {
  const start = await common(workflowType, headers, options, origin);
  const signalInput = { payloads: await encodeToPayloads(origin.loadedDataConverter, ...signalArgs) };
  return { ...start, signalName, signalInput };
}
