/**
 * Starting, asking and controlling workflows.
 *
 * `Connection.connect` to a server, make a {@link Client} with it, then `client.workflow.start`.
 */

export {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  type DataConverter,
  type ProtoFailure,
  type RetryPolicy,
  ServerFailure,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowExecutionAlreadyStartedError,
  defaultPayloadConverter,
} from '@durably/common';
export * from '@durably/common/lib/errors';
export * from '@durably/common/lib/interfaces';
export * from '@durably/common/lib/workflow-handle';
export * from '@durably/common/lib/workflow-options';
export * from './async-completion-client';
export { type BaseClientOptions } from './base-client';
export * from './client';
export { Connection } from './connection';
export {
  type ConnectionOptions,
  type ConnectionRetryOptions,
  type EmbeddedServerOptions,
  LOCAL_TARGET,
  type TLSConfig,
} from './connection-options';
export * from './errors';
export * from './interceptors';
export * from './types';
export * from './workflow-client';
export * from './workflow-handle';
export { type AsyncWorkflowListIterable, type IntoHistoriesOptions, type ListOptions } from './workflow-list';
export * from './workflow-options';
export {
  type GetWorkflowUpdateHandleOptions,
  WithStartWorkflowOperation,
  type WorkflowUpdateHandle,
  WorkflowUpdateStage,
} from './workflow-update';
