/**
 * The core of durably in this process: connections, calls and workers as promises and callbacks.
 *
 * Everything that the core has to say is taken in one buffer per turn of the event loop; see `bridge-node/`.
 */

import { AsyncResource } from 'node:async_hooks';
import {
  AwaitWorkflow,
  Call,
  CallError,
  ConnectOptions,
  WorkerEvent,
  WorkerOptions,
  WorkerRequest,
  WorkflowResult,
  type durably,
} from '@durably/proto';
import { type NativePort, addon } from './addon';

/** A call that the server or the core refused. `code` is a gRPC status code. */
export class BridgeError extends Error {
  override readonly name = 'BridgeError';

  constructor(
    message: string,
    readonly code: number,
    /** The encoded google.rpc.Status with its details; empty if there is none. */
    readonly status: Uint8Array,
  ) {
    super(message);
  }
}

enum Kind {
  Message,
  Client,
  Nothing,
  Error,
}

const HEADER = 16;

type Receiver = (kind: Kind, content: Buffer) => void;

const receivers = new Map<number, Receiver>();
let lastNumber = 0;
let busy = 0;
let keepAlive: NodeJS.Timeout | undefined;
let port: NativePort | undefined;

/** Where no `AsyncLocalStorage` of whoever is first to connect is in force: it would reach all that the core begins. */
const outside = new AsyncResource('durably');

function thePort(): NativePort {
  return (port ??= outside.runInAsyncScope(() => new addon.Port(drain)));
}

/** The addon's wake-up doesn't keep the process alive, so that an idle connection doesn't. What is awaited does. */
function begin(): void {
  if (busy++ === 0) keepAlive = setInterval(() => {}, 2 ** 30);
}

function end(): void {
  if (--busy === 0) clearInterval(keepAlive);
}

function drain(): void {
  const buffer = thePort().drain();
  for (let at = 0; at < buffer.length; ) {
    const to = buffer.readDoubleLE(at);
    const kind = buffer.readUInt32LE(at + 8);
    const start = at + HEADER;
    at = start + buffer.readUInt32LE(at + 12);
    receivers.get(to)?.(kind, buffer.subarray(start, at));
  }
}

export interface CallControl {
  /** Gives the call up: its promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

function operation<T>(
  start: (to: number) => void,
  take: (kind: Kind, content: Buffer) => T,
  control?: CallControl,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const to = ++lastNumber;
    const signal = control?.signal;
    const finish = () => {
      receivers.delete(to);
      signal?.removeEventListener('abort', abort);
      end();
    };
    const abort = () => {
      thePort().abort(to);
      finish();
      reject(signal?.reason);
    };
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    begin();
    receivers.set(to, (kind, content) => {
      finish();
      try {
        if (kind === Kind.Error) throw bridgeError(content);
        resolve(take(kind, content));
      } catch (error) {
        reject(error);
      }
    });
    signal?.addEventListener('abort', abort, { once: true });
    try {
      start(to);
    } catch (error) {
      finish();
      reject(error);
    }
  });
}

function bridgeError(content: Buffer): BridgeError {
  const error = CallError.decode(content);
  return new BridgeError(error.message, error.code, error.status);
}

/** A connection to a server, embedded or remote. */
export class BridgeClient {
  private constructor(
    private readonly id: number,
    readonly namespace: string,
    readonly identity: string,
  ) {}

  static connect(options: durably.core.v1.IConnectOptions): Promise<BridgeClient> {
    return operation(
      (to) => thePort().connect(to, ConnectOptions.encode(options)),
      (_, content) => {
        const id = content.readUInt32LE(0);
        const [namespace, identity] = thePort().names(id);
        return new BridgeClient(id, namespace, identity);
      },
    );
  }

  /** The encoded response of a method. */
  call(call: durably.core.v1.ICall, control?: CallControl): Promise<Buffer> {
    return operation(
      (to) => thePort().call(this.id, to, Call.encode(call)),
      (_, content) => content,
      control,
    );
  }

  async awaitWorkflow(
    request: durably.core.v1.IAwaitWorkflow,
    control?: CallControl,
  ): Promise<durably.core.v1.WorkflowResult> {
    awaitedResults++;
    try {
      return await operation(
        (to) => thePort().awaitWorkflow(this.id, to, AwaitWorkflow.encode(request)),
        (_, content) => WorkflowResult.decode(content),
        control,
      );
    } finally {
      awaitedResults--;
    }
  }

  /** Ends the connection for all its users. Resolves when an embedded server has everything on disk. */
  disconnect(): Promise<void> {
    return operation(
      (to) => thePort().disconnect(this.id, to),
      () => undefined,
    );
  }

  /** Starts a worker. Throws what is wrong with the options. */
  startWorker(options: durably.core.v1.IWorkerOptions, onEvent: (event: durably.core.v1.WorkerEvent) => void): BridgeWorker {
    const to = ++lastNumber;
    const worker = new BridgeWorker(thePort().startWorker(this.id, to, WorkerOptions.encode(options)), () =>
      receivers.delete(to),
    );
    receivers.set(to, (_, content) => onEvent(WorkerEvent.decode(content)));
    return worker;
  }
}

let awaitedResults = 0;

/** How many results of workflows the process waits for. */
export function resultsAwaited(): number {
  return awaitedResults;
}

/** A worker of one task queue. Keeps the process alive until it is freed. */
export class BridgeWorker {
  /** Requests that have crossed; one per workflow task. */
  requests = 0;
  private freed = false;

  constructor(
    private readonly id: number,
    private readonly forget: () => void,
  ) {
    begin();
  }

  request(request: durably.core.v1.IWorkerRequest): void {
    this.requests++;
    thePort().request(this.id, WorkerRequest.encode(request));
  }

  /** After its ShutDown event, or to end it without waiting for answers. */
  free(): void {
    if (this.freed) return;
    this.freed = true;
    this.forget();
    thePort().freeWorker(this.id);
    end();
  }
}

/** Writes the core's log to standard error, filtered as `RUST_LOG` would say it. Only the first call counts. */
export function installLogs(filter: string): void {
  addon.installLogs(filter);
}
