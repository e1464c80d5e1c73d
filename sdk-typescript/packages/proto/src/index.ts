/** Messages of Temporal's API and of `durably.core.v1`: their types, and their binary and JSON forms. */

import { decode } from './decode';
import { encode } from './encode';
import { durably, temporal } from './generated/types';

export { decode } from './decode';
export { encode } from './encode';
export type { Codec } from './codec';
export { type Int64, durably, google, temporal } from './generated/types';
export { fromJson, toJson } from './json';
export { mapPayloads, type PayloadsMapper } from './payloads';
export { enumOf, methodsOf, type Method } from './tables';

/** A message type: what may be passed in, and what comes out. */
export interface MessageType<In extends object, Out> {
  readonly name: string;
  encode(value: In): Buffer;
  decode(bytes: Uint8Array): Out;
}

export function messageType<In extends object, Out>(name: string): MessageType<In, Out> {
  return { name, encode: (value) => encode(name, value), decode: (bytes) => decode(name, bytes) as Out };
}

import core = durably.core.v1;

export const ConnectOptions = messageType<core.IConnectOptions, core.ConnectOptions>('durably.core.v1.ConnectOptions');
export const Call = messageType<core.ICall, core.Call>('durably.core.v1.Call');
export const CallError = messageType<core.ICallError, core.CallError>('durably.core.v1.CallError');
export const BackUpRequest = messageType<core.IBackUpRequest, core.BackUpRequest>('durably.core.v1.BackUpRequest');
export const SleepRequest = messageType<core.ISleepRequest, core.SleepRequest>('durably.core.v1.SleepRequest');
export const AwaitWorkflow = messageType<core.IAwaitWorkflow, core.AwaitWorkflow>('durably.core.v1.AwaitWorkflow');
export const WorkflowResult = messageType<core.IWorkflowResult, core.WorkflowResult>('durably.core.v1.WorkflowResult');
export const WorkerOptions = messageType<core.IWorkerOptions, core.WorkerOptions>('durably.core.v1.WorkerOptions');
export const WorkerEvent = messageType<core.IWorkerEvent, core.WorkerEvent>('durably.core.v1.WorkerEvent');
export const WorkerRequest = messageType<core.IWorkerRequest, core.WorkerRequest>('durably.core.v1.WorkerRequest');
export const History = messageType<temporal.api.history.v1.IHistory, temporal.api.history.v1.History>(
  'temporal.api.history.v1.History',
);
