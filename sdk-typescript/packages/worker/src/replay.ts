/** Replays histories: does the code still do what they say? */

import { BridgeClient, type BridgeWorker } from '@durably/core-bridge';
import { type durably, fromJson, type temporal } from '@durably/proto';
import { DeterminismViolationError, ReplayError } from './errors';
import type { ReplayWorkerOptions } from './worker-options';
import type { WorkflowRunner } from './workflow/runner';

/** A history as a client fetches it, or as JSON that tools write. */
export interface HistoryToReplay {
  workflowId: string;
  history: unknown;
}

export interface ReplayResult {
  readonly workflowId: string;
  readonly runId: string;
  /** Absent: the code does what the history says. */
  readonly error?: ReplayError;
}

type History = temporal.api.history.v1.IHistory;

/** The history as a message. */
export function historyOf(given: unknown): History {
  const { events } = (given ?? {}) as { events?: unknown };
  if (!Array.isArray(events) || events.length === 0) throw new TypeError('not a history: it has no `events`');
  const type = (events[0] as { eventType?: unknown }).eventType;
  return typeof type === 'number' ? (given as History) : (fromJson('temporal.api.history.v1.History', given) as History);
}

export async function* replayHistories(
  options: ReplayWorkerOptions,
  histories: Iterable<HistoryToReplay> | AsyncIterable<HistoryToReplay>,
  makeRunner: (respond: (request: durably.core.v1.IWorkerRequest) => void) => WorkflowRunner,
): AsyncIterableIterator<ReplayResult> {
  // Nothing is asked of a server: the connection is one that is never used.
  const client = await BridgeClient.connect({ target: '127.0.0.1:9', namespace: options.namespace, lazy: true });
  let bridge: BridgeWorker | undefined;
  const replaying = new Replaying();
  const runner = makeRunner((request) => bridge?.request(request));
  try {
    const { taskQueue = 'replay', identity, buildId } = options;
    bridge = client.startWorker({ taskQueue, identity, buildId, workflows: true, replayOnly: true }, (event) => {
      if (event.workflow) runner.handle(event.workflow);
      else if (event.replay) replaying.next(event.replay);
      else if (event.shutDown) replaying.stop();
    });
    for await (const { workflowId, history } of histories) {
      const result = replaying.wait();
      bridge.request({ replay: { workflowId, history: historyOf(history) } });
      yield resultOf(await result);
    }
    bridge.request({ shutdown: {} });
    await replaying.stopped;
  } finally {
    bridge?.free();
    await client.disconnect();
  }
}

/** Hands results to the one who waits. */
class Replaying {
  private waiting: ((result: durably.core.v1.ReplayResult) => void) | undefined;
  stop!: () => void;
  readonly stopped = new Promise<void>((resolve) => {
    this.stop = resolve;
  });

  wait(): Promise<durably.core.v1.ReplayResult> {
    return new Promise((resolve) => {
      this.waiting = resolve;
    });
  }

  next(result: durably.core.v1.ReplayResult): void {
    this.waiting?.(result);
  }
}

function resultOf({ workflowId, runId, error }: durably.core.v1.ReplayResult): ReplayResult {
  if (!error) return { workflowId, runId };
  const Kind = error.nondeterminism ? DeterminismViolationError : ReplayError;
  return { workflowId, runId, error: new Kind(error.message, workflowId, runId) };
}
