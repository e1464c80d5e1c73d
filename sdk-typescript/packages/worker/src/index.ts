/** Running workflows and activities. Names and semantics are those of `@temporalio/worker`. */

export { IllegalStateError, type Logger, type LogLevel, type LogMetadata } from '@durably/common';
export { NativeConnection, type NativeConnectionOptions } from './connection';
export * from './errors';
export { DefaultLogger, type LogEntry } from './logger';
export { type HistoryToReplay, type ReplayResult } from './replay';
export { Runtime, type RuntimeOptions, makeTelemetryFilterString } from './runtime';
export { type State, Worker } from './worker';
export type { CommonOptions, ReplayWorkerOptions, WorkerOptions, WorkflowBundleOption } from './worker-options';
export { type BundleOptions, type WorkflowBundleWithSourceMap, bundleWorkflowCode } from './workflow/bundler';
