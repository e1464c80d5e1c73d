/** Workers: they take tasks of one task queue, and run workflows and activities. */

import { type LoadedDataConverter, IllegalStateError } from '@durably/common';
import { Client } from '@durably/client';
import { loadDataConverter } from '@durably/common/lib/internal-non-workflow';
import { msOptionalToNumber } from '@durably/common/lib/time';
import { type BridgeClient, type BridgeWorker } from '@durably/core-bridge';
import type { durably } from '@durably/proto';
import { ActivityRunner } from './activities';
import { checkWorkerOptions } from './check-options';
import { NativeConnection } from './connection';
import { CombinedWorkerRunError, GracefulShutdownPeriodExpiredError, TransportError } from './errors';
import { type HistoryToReplay, type ReplayResult, replayHistories } from './replay';
import { Runtime } from './runtime';
import {
  type CommonOptions,
  type ReplayWorkerOptions,
  type WorkerOptions,
  activitiesOf,
  bundleOf,
  coreOptions,
  failureTypesOf,
  patienceOf,
} from './worker-options';
import { WorkflowContext } from './workflow/context';
import { WorkflowRunner } from './workflow/runner';

/**
 * INITIALIZED, RUNNING, then STOPPING after `shutdown`, DRAINING while what is under way ends, STOPPED at last; FAILED if
 * the worker couldn't go on.
 */
export type State = 'INITIALIZED' | 'RUNNING' | 'STOPPING' | 'DRAINING' | 'DRAINED' | 'STOPPED' | 'FAILED';

/** A worker of one task queue: `await (await Worker.create({ … })).run()`. */
export class Worker {
  private state: State = 'INITIALIZED';
  private bridge: BridgeWorker | undefined;
  private requested = 0;
  private readonly activities: ActivityRunner;
  private end!: { resolve(): void; reject(error: unknown): void };
  private readonly ended = new Promise<void>((resolve, reject) => {
    this.end = { resolve, reject };
  });
  private forceTimer: NodeJS.Timeout | undefined;

  private constructor(
    readonly options: WorkerOptions,
    private readonly client: BridgeClient,
    connection: NativeConnection,
    /** Closed with the worker: nobody else knows it. */
    private readonly ownConnection: NativeConnection | undefined,
    private readonly workflows: WorkflowRunner | undefined,
    converter: LoadedDataConverter,
  ) {
    this.ended.catch(() => undefined);
    this.activities = new ActivityRunner({
      activities: activitiesOf(options.activities),
      converter,
      logger: Runtime.instance().logger,
      taskQueue: options.taskQueue,
      client: new Client({ connection, namespace: options.namespace, dataConverter: converter }),
      respond: (request) => this.request(request),
    });
  }

  /** Bundles the workflows, and connects. Polling begins with `run`. */
  static async create(options: WorkerOptions): Promise<Worker> {
    if (typeof options?.taskQueue !== 'string' || options.taskQueue === '') {
      throw new TypeError('Worker.create: taskQueue is required');
    }
    checkWorkerOptions(options);
    const converter = loadDataConverter(options.dataConverter);
    const code = await bundleOf(options);
    if (code === undefined && activitiesOf(options.activities).size === 0) {
      throw new TypeError('Worker.create: pass workflowsPath, workflowBundle or activities: a worker without any has nothing to do');
    }
    let worker: Worker | undefined;
    const workflows = code === undefined ? undefined : runnerOf(code, options, converter, true, (request) => worker?.request(request));
    const own = options.connection ? undefined : await NativeConnection.connect({ address: process.env['TEMPORAL_ADDRESS'] });
    const connection = options.connection ?? own!;
    const client = await connection.bridgeClient();
    worker = new Worker(options, client, connection, own, workflows, converter);
    return worker;
  }

  getState(): State {
    return this.state;
  }

  getStatus(): { runState: State; numInFlightActivities: number } {
    return { runState: this.state, numInFlightActivities: this.activities.count };
  }

  /** Requests that have crossed to the core so far: one for each workflow task, activity and heartbeat. */
  get requests(): number {
    return this.requested;
  }

  /** Works until `shutdown`, or a signal of the `Runtime`'s. Rejects if the worker can't go on. */
  async run(): Promise<void> {
    if (this.state !== 'INITIALIZED') {
      throw new IllegalStateError('Poller was already started: a worker runs once, make another');
    }
    const runtime = Runtime.instance();
    const takesActivities = this.options.enableNonLocalActivities !== false;
    const has = {
      workflows: this.workflows !== undefined,
      activities: takesActivities && activitiesOf(this.options.activities).size > 0,
    };
    this.state = 'RUNNING';
    try {
      this.bridge = this.client.startWorker(coreOptions(this.options, has), (event) => this.take(event));
      runtime.register(this);
      await this.ended;
      this.state = 'STOPPED';
    } catch (error) {
      this.state = 'FAILED';
      throw error;
    } finally {
      clearTimeout(this.forceTimer);
      runtime.unregister(this);
      this.bridge?.free();
      await this.ownConnection?.close();
    }
  }

  /** Runs until the promise is settled, shuts down, and resolves or rejects as the promise does. */
  async runUntil<R>(fnOrPromise: Promise<R> | (() => Promise<R>)): Promise<R> {
    const running = this.run();
    // A worker that fails ends what it runs for too, which may wait for it in vain.
    const inner = (async () => await (typeof fnOrPromise === 'function' ? fnOrPromise() : fnOrPromise))();
    const outcome = await Promise.race([settled(inner), settled(running)]);
    if (this.state === 'RUNNING') this.shutdown();
    const worker = await settled(running);
    const result = outcome.of === inner ? outcome : await raceWithWorker(inner, worker);
    if (worker.error !== undefined && result?.error !== undefined) {
      throw new CombinedWorkerRunError('Worker terminated with fatal error in `runUntil`', {
        cause: { workerError: worker.error.why, innerError: result.error.why },
      });
    }
    if (worker.error !== undefined) throw worker.error.why;
    return await inner;
  }

  /** Begins to stop: no new tasks are taken; `run` resolves when those under way have ended. */
  shutdown(): void {
    if (this.state !== 'RUNNING') throw new IllegalStateError(`Not running. Current state: ${this.state}; shutdown ends a worker whose run has begun`);
    this.state = 'STOPPING';
    this.request({ shutdown: {} });
    const force = msOptionalToNumber(this.options.shutdownForceTime);
    if (force === undefined) return;
    this.forceTimer = setTimeout(() => {
      this.end.reject(new GracefulShutdownPeriodExpiredError('Timed out while waiting for worker to shutdown gracefully'));
    }, force);
  }

  private request(request: durably.core.v1.IWorkerRequest): void {
    // What answers after the end has nobody to answer to.
    if (this.bridge === undefined || this.state === 'STOPPED' || this.state === 'FAILED') return;
    this.requested++;
    this.bridge.request(request);
  }

  private tell(lost: string | undefined): void {
    const { logger } = Runtime.instance();
    const { taskQueue } = this.options;
    if (lost === undefined) logger.warn('The worker reaches its server again', { taskQueue });
    else logger.warn("The worker can't reach its server, and goes on trying", { taskQueue, error: lost });
  }

  private take(event: durably.core.v1.WorkerEvent): void {
    if (event.workflow) this.workflows?.handle(event.workflow);
    else if (event.activityStart) this.activities.start(event.activityStart);
    else if (event.activityCancel) this.activities.cancel(event.activityCancel);
    else if (event.connectivity) this.tell(event.connectivity.lost?.message);
    else if (event.shutDown) {
      const { fatal } = event.shutDown;
      if (fatal) this.end.reject(new TransportError(fatal.message));
      else this.end.resolve();
    }
  }

  /** Replays one history with the workflows; rejects if they would do something else than it says. */
  static async runReplayHistory(options: ReplayWorkerOptions, history: unknown, workflowId?: string): Promise<void> {
    for await (const result of Worker.runReplayHistories(options, [{ history, workflowId: workflowId ?? 'fake' }])) {
      if (result.error) throw result.error;
    }
  }

  /** Replays histories, and yields what came of each. */
  static async *runReplayHistories(
    options: ReplayWorkerOptions,
    histories: Iterable<HistoryToReplay> | AsyncIterable<HistoryToReplay>,
  ): AsyncIterableIterator<ReplayResult> {
    const converter = loadDataConverter(options.dataConverter);
    const code = await bundleOf(options);
    if (code === undefined) throw new TypeError('ReplayWorkerOptions: workflowsPath or workflowBundle is required');
    yield* replayHistories(options, histories, (respond) => runnerOf(code, options, converter, false, respond));
  }
}

interface Settled<T> {
  of: Promise<T>;
  error?: { why: unknown };
}

function settled<T>(of: Promise<T>): Promise<Settled<T>> {
  return of.then(
    () => ({ of }),
    (why: unknown) => ({ of, error: { why } }),
  );
}

/** How the promise ended; undefined if the worker failed while it goes on, which it may do for ever. */
function raceWithWorker<T>(inner: Promise<T>, worker: Settled<void>): Promise<Settled<T> | undefined> {
  if (worker.error === undefined) return settled(inner);
  return Promise.race([settled(inner), new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]);
}

function runnerOf(
  code: string,
  options: CommonOptions & { connection?: NativeConnection },
  converter: LoadedDataConverter,
  tellsCoreFailures: boolean,
  respond: (request: durably.core.v1.IWorkerRequest) => void,
): WorkflowRunner {
  const { logger } = Runtime.instance();
  const patience = patienceOf(options);
  return new WorkflowRunner({
    context: new WorkflowContext({ code, logger, ...patience }),
    looksTwice: patience.tellsTests ? patience.timeout : undefined,
    logger,
    payloadConverter: converter.payloadConverter,
    failureConverter: converter.failureConverter,
    codecs: converter.payloadCodecs,
    failureErrorTypes: (workflowType) => failureTypesOf(options.workflowFailureErrorTypes, workflowType),
    buildId: options.buildId ?? '',
    // The code itself is shared; what modules make of it is not.
    runWeight: 16_000 + Math.round(code.length / 40),
    tellsCoreFailures,
    respond: (completion) => respond({ workflow: completion }),
  });
}
