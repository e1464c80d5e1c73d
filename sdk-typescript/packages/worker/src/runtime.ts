/** What all workers of a process share: its logger, and the signals that shut them down. */

import { type Duration, type Logger, IllegalStateError } from '@durably/common';
import { installLogs, resultsAwaited } from '@durably/core-bridge';
import { DefaultLogger } from './logger';

export interface RuntimeOptions {
  /** Where log lines of workers, workflows and activities go. Default: standard error, from INFO on. */
  logger?: Logger;
  /** Signals that shut all workers down. Default: SIGINT, SIGTERM, SIGQUIT, SIGUSR2. */
  shutdownSignals?: NodeJS.Signals[];
  telemetryOptions?: {
    /**
     * The core's own log, on standard error. Default: warnings that workers don't log; see `makeTelemetryFilterString`.
     * `forward` has no effect here.
     */
    logging?: { filter?: string; forward?: object };
    /** Not there yet: says so in the log. */
    metrics?: object;
  };
  /** No effect here. */
  workerHeartbeatInterval?: Duration;
}

/** Failed workflow tasks are logged by workers, with the lines of the user's code. */
const CORE_LOG = 'warn,durably_core::task_failed=off';

interface Stoppable {
  getState(): string;
  shutdown(): void;
}

/** `Runtime.install` before the first worker to configure it. */
export class Runtime {
  private static installed: Runtime | undefined;
  readonly logger: Logger;
  private readonly signals: readonly NodeJS.Signals[];
  private readonly running = new Set<Stoppable>();
  /** The signal that has stopped the workers. */
  private stoppedBy: NodeJS.Signals | undefined;
  private readonly onSignal = (signal: NodeJS.Signals) => {
    this.stoppedBy = signal;
    // Those that stop already go on doing so.
    for (const worker of this.running) if (worker.getState() === 'RUNNING') worker.shutdown();
  };

  private constructor(readonly options: RuntimeOptions) {
    this.logger = options.logger ?? new DefaultLogger();
    this.signals = options.shutdownSignals ?? ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGUSR2'];
    if (options.telemetryOptions?.metrics) {
      this.logger.warn('RuntimeOptions.telemetryOptions.metrics has no effect: metrics are not there yet');
    }
    installLogs(options.telemetryOptions?.logging?.filter ?? process.env['DURABLY_LOG'] ?? CORE_LOG);
  }

  static install(options: RuntimeOptions): Runtime {
    if (Runtime.installed) {
      throw new IllegalStateError('Runtime is installed already: call Runtime.install before workers are made');
    }
    return (Runtime.installed = new Runtime(options));
  }

  static instance(): Runtime {
    return (Runtime.installed ??= new Runtime({}));
  }

  /** @internal */
  register(worker: Stoppable): void {
    if (this.running.size === 0) {
      for (const signal of this.signals) process.on(signal, this.onSignal);
      this.stoppedBy = undefined;
    }
    this.running.add(worker);
  }

  /** @internal */
  unregister(worker: Stoppable): void {
    this.running.delete(worker);
    if (this.running.size > 0) return;
    for (const signal of this.signals) process.off(signal, this.onSignal);
    if (this.stoppedBy) endVainWaits(this.stoppedBy);
  }
}

/** How long a program has for its own end once a signal has stopped its workers. */
const GRACE = 500;

/**
 * The workers took the signal, and a program that waits for a workflow's result would wait on without them: it ends as by a
 * second signal. One that has something else to do goes on.
 */
function endVainWaits(signal: NodeJS.Signals): void {
  const end = () => {
    if (resultsAwaited() > 0 && process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  };
  setTimeout(end, GRACE).unref();
}

/** A filter for the core's log: `{ core: 'INFO', other: 'WARN' }`. */
export function makeTelemetryFilterString(options: { core: string; other?: string }): string {
  const { core, other = 'ERROR' } = options;
  return `${other.toLowerCase()},durably_core=${core.toLowerCase()},durably_server=${core.toLowerCase()}`;
}
