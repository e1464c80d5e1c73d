/**
 * Logs why workflow tasks fail: a task that fails is tried again and again, often for hours. Each reason is logged once,
 * with the user's line, and then counted.
 */

import type { Logger } from '@durably/common';
import { readable, textOf } from '@durably/common/lib/failure';

/** Runs whose failures are remembered. */
const MOST_RUNS = 1_000;

interface Failed {
  reason: string;
  count: number;
}

export class FailureLog {
  private readonly runs = new Map<string, Failed>();

  constructor(private readonly logger: Logger) {}

  /** Logs the failure if it is a new one, or each time that ten times as many tasks have failed by it. */
  failed(runId: string, error: unknown, attributes: Record<string, unknown>, advice = ''): void {
    const reason = reasonOf(error);
    const known = this.runs.get(runId);
    const count = known?.reason === reason ? known.count + 1 : 1;
    // The latest is last: the others are forgotten first.
    this.runs.delete(runId);
    this.runs.set(runId, { reason, count });
    if (this.runs.size > MOST_RUNS) this.runs.delete(this.runs.keys().next().value!);
    const meta = { ...attributes, runId };
    if (count === 1) {
      this.logger.warn(`Workflow task failed, and is tried again${advice}`, { ...meta, error });
    } else if (Number.isInteger(Math.log10(count))) {
      this.logger.warn(`Workflow task has failed ${count} times: ${reason}`, meta);
    }
  }

  succeeded(runId: string): void {
    this.runs.delete(runId);
  }
}

/** With the user's line, so that the same message from elsewhere is another reason. */
function reasonOf(error: unknown): string {
  const read = readable(error);
  if (!(read instanceof Error)) return textOf(read);
  const line = /^[ \t]+at .*/m.exec(read.stack ?? '')?.[0] ?? '';
  return `${read.name}: ${read.message}${line && ` ${line.trim()}`}`;
}
