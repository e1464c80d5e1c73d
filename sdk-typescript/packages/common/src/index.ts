/** What clients, workers and workflows of durably share. Names and semantics are those of `@temporalio/common`. */

export * from './activity-options';
export {
  type DataConverter,
  type LoadedDataConverter,
  type PayloadCodec,
  defaultDataConverter,
} from './converter/data-converter';
export {
  DefaultFailureConverter,
  type DefaultFailureConverterOptions,
  type FailureConverter,
  defaultFailureConverter,
} from './converter/failure-converter';
export {
  BinaryPayloadConverter,
  CompositePayloadConverter,
  DefaultPayloadConverter,
  type EncodingType,
  JsonPayloadConverter,
  METADATA_ENCODING_KEY,
  type Payload,
  type PayloadConverter,
  type PayloadConverterWithEncoding,
  RawValue,
  UndefinedPayloadConverter,
  arrayFromPayloads,
  defaultPayloadConverter,
  encodingTypes,
  fromPayloadsAtIndex,
  mapFromPayloads,
  mapToPayloads,
  toPayloads,
} from './converter/payload-converter';
export {
  IllegalStateError,
  NamespaceNotFoundError,
  PayloadConverterError,
  ValueError,
  WorkflowNotFoundError,
} from './errors';
export {
  ActivityFailure,
  ApplicationFailure,
  ApplicationFailureCategory,
  type ApplicationFailureOptions,
  CancelledFailure,
  ChildWorkflowFailure,
  FAILURE_SOURCE,
  type ProtoFailure,
  RetryState,
  ServerFailure,
  TemporalFailure,
  TerminatedFailure,
  TimeoutFailure,
  TimeoutType,
  WorkflowExecutionAlreadyStartedError,
  ensureApplicationFailure,
  ensureTemporalFailure,
  isCancellation,
  rootCause,
} from './failure';
export { type Next, composeInterceptors } from './interceptors';
export * from './interfaces';
export type { LogLevel, LogMetadata, Logger } from './logger';
export { type Priority, compilePriority, decodePriority } from './priority';
// Not `historyFromJSON` and its like (lib/proto-utils): this module is part of every workflow context, the codec is not.
export type { History, HistoryAndWorkflowId } from './proto-utils';
export { type RetryPolicy, compileRetryPolicy, decompileRetryPolicy } from './retry-policy';
export {
  type SearchAttributeKey,
  type SearchAttributePair,
  SearchAttributeType,
  type SearchAttributeValue,
  type SearchAttributes,
  TypedSearchAttributes,
  defineSearchAttributeKey,
} from './search-attributes';
export type { Duration } from './time';
export type { BaseWorkflowHandle } from './workflow-handle';
export {
  type CommonWorkflowOptions,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  encodeWorkflowIdConflictPolicy,
  encodeWorkflowIdReusePolicy,
} from './workflow-options';
