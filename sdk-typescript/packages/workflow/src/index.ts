/** Writing workflows. Names and semantics are those of `@temporalio/workflow`. */

export {
  ActivityCancellationType,
  ActivityFailure,
  type ActivityFunction,
  type ActivityOptions,
  ApplicationFailure,
  ApplicationFailureCategory,
  CancelledFailure,
  ChildWorkflowFailure,
  type Duration,
  HandlerUnfinishedPolicy,
  type Headers,
  IllegalStateError,
  NamespaceNotFoundError,
  type Payload,
  PayloadConverterError,
  type Priority,
  type QueryDefinition,
  RetryState,
  type RetryPolicy,
  type SearchAttributes,
  type SearchAttributeValue,
  ServerFailure,
  type SignalDefinition,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  TimeoutType,
  type UntypedActivities,
  type UpdateDefinition,
  ValueError,
  type Workflow,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
  type WorkflowResultType,
  type WorkflowReturnType,
  defaultPayloadConverter,
  encodeWorkflowIdConflictPolicy,
  encodeWorkflowIdReusePolicy,
  extractWorkflowType,
  rootCause,
} from '@durably/common';
export {
  type ActivityFunctionWithOptions,
  type ActivityInterfaceFor,
  proxyActivities,
  scheduleActivity,
} from './activities';
export { AsyncLocalStorage } from './async-local-storage';
export { CancellationScope, type CancellationScopeOptions, isCancellation } from './cancellation-scope';
export {
  addDefaultWorkflowOptions,
  ChildWorkflowCancellationType,
  type ChildWorkflowHandle,
  type ChildWorkflowOptions,
  type ChildWorkflowOptionsWithDefaults,
  executeChild,
  ParentClosePolicy,
  type RequiredChildWorkflowOptions,
  startChild,
} from './child-workflow';
export { ContinueAsNew, DeterminismViolationError, UnhandledRejectionError } from './errors';
export { type ExternalWorkflowHandle, getExternalWorkflowHandle } from './external-workflow';
export type { ParentWorkflowInfo, RootWorkflowInfo, UnsafeWorkflowInfo, UpdateInfo, WorkflowInfo } from './info';
export * from './handlers';
export { Trigger } from './trigger';
export * from './workflow';
