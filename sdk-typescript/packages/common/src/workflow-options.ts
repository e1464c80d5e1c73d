/** Options that every way of starting a workflow takes. */

import { type EnumNumbers, enumNumber } from './enums';
import type { Priority } from './priority';
import type { RetryPolicy } from './retry-policy';
import type { SearchAttributePair, SearchAttributes, TypedSearchAttributes } from './search-attributes';
import type { Duration } from './time';

/** When a workflow may be started with the id of one that has closed. */
export const WorkflowIdReusePolicy = Object.freeze({
  /** Always. The default. */
  ALLOW_DUPLICATE: 'ALLOW_DUPLICATE',
  /** Unless that one completed. */
  ALLOW_DUPLICATE_FAILED_ONLY: 'ALLOW_DUPLICATE_FAILED_ONLY',
  /** Never. */
  REJECT_DUPLICATE: 'REJECT_DUPLICATE',
  /** @deprecated Use `WorkflowIdConflictPolicy.TERMINATE_EXISTING`. */
  TERMINATE_IF_RUNNING: 'TERMINATE_IF_RUNNING',
  /** @deprecated Use `ALLOW_DUPLICATE`. */
  WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE: 'ALLOW_DUPLICATE',
  /** @deprecated Use `ALLOW_DUPLICATE_FAILED_ONLY`. */
  WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY: 'ALLOW_DUPLICATE_FAILED_ONLY',
  /** @deprecated Use `REJECT_DUPLICATE`. */
  WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE: 'REJECT_DUPLICATE',
  /** @deprecated Use `WorkflowIdConflictPolicy.TERMINATE_EXISTING`. */
  WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING: 'TERMINATE_IF_RUNNING',
} as const);
export type WorkflowIdReusePolicy = (typeof WorkflowIdReusePolicy)[keyof typeof WorkflowIdReusePolicy];
const REUSE_POLICIES: EnumNumbers<WorkflowIdReusePolicy> = {
  ALLOW_DUPLICATE: 1,
  ALLOW_DUPLICATE_FAILED_ONLY: 2,
  REJECT_DUPLICATE: 3,
  TERMINATE_IF_RUNNING: 4,
};

/** What happens if the id belongs to a workflow that runs. */
export const WorkflowIdConflictPolicy = Object.freeze({
  /** The start fails. The default. */
  FAIL: 'FAIL',
  /** The start has no effect; its handle is on the workflow that runs. */
  USE_EXISTING: 'USE_EXISTING',
  /** That workflow is terminated first. */
  TERMINATE_EXISTING: 'TERMINATE_EXISTING',
} as const);
export type WorkflowIdConflictPolicy = (typeof WorkflowIdConflictPolicy)[keyof typeof WorkflowIdConflictPolicy];
const CONFLICT_POLICIES: EnumNumbers<WorkflowIdConflictPolicy> = { FAIL: 1, USE_EXISTING: 2, TERMINATE_EXISTING: 3 };

export function encodeWorkflowIdReusePolicy(policy: WorkflowIdReusePolicy | undefined): number {
  return enumNumber('workflowIdReusePolicy', REUSE_POLICIES, policy);
}

export function encodeWorkflowIdConflictPolicy(policy: WorkflowIdConflictPolicy | undefined): number {
  return enumNumber('workflowIdConflictPolicy', CONFLICT_POLICIES, policy);
}

export interface CommonWorkflowOptions {
  /** When the id belongs to a closed workflow. Default `ALLOW_DUPLICATE`. */
  workflowIdReusePolicy?: WorkflowIdReusePolicy;
  /** When the id belongs to a running workflow. Default `FAIL`; for `signalWithStart`, `USE_EXISTING`. */
  workflowIdConflictPolicy?: WorkflowIdConflictPolicy;
  /** Retries of the workflow itself. Default: none. */
  retry?: RetryPolicy;
  /** Start again and again, by this schedule. */
  cronSchedule?: string;
  /** Values shown with the workflow, not indexed. */
  memo?: Record<string, unknown>;
  /** @deprecated Use `typedSearchAttributes`. */
  searchAttributes?: SearchAttributes;
  /** Values shown with the workflow, by which it can be listed. */
  typedSearchAttributes?: SearchAttributePair[] | TypedSearchAttributes;
  /** Longest time for one run. Default: none. */
  workflowRunTimeout?: Duration;
  /** Longest time for all runs of the chain: retries, cron and continue-as-new included. Default: none. */
  workflowExecutionTimeout?: Duration;
  /** Longest time for one workflow task. Default: the server's 10 s. */
  workflowTaskTimeout?: Duration;
  /** One line for tools, in Markdown. */
  staticSummary?: string;
  /** More lines for tools, in Markdown. */
  staticDetails?: string;
  priority?: Priority;
}
