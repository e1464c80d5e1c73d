/**
 * Code that only reads: handlers of queries and validators of updates, which no replay runs again. What they try beyond
 * that is an error.
 */

import { DeterminismViolationError } from '../errors';
import { readerStorage } from './globals';

export class ReadOnly {
  private who: string | undefined;
  private readonly violations = new Set<unknown>();

  /** Until the next call, all code only reads, or none does. */
  begin(who: string | undefined): void {
    this.who = who;
    this.violations.clear();
  }

  get isInForce(): boolean {
    return (this.who ?? readerStorage().getStore()) !== undefined;
  }

  /** To be called by whatever does more than read. */
  check(): void {
    // What such code has left behind goes on with its promises, and still only reads.
    const who = this.who ?? readerStorage().getStore();
    if (who === undefined) return;
    const violation = new DeterminismViolationError(`${who} only read: they cannot wait or start anything`);
    if (this.who !== undefined) this.violations.add(violation);
    throw violation;
  }

  /** Calls the function, which only reads. Throws what it tried beyond that, also if it has caught it or awaits nothing. */
  run<T>(who: string, fn: () => T): T {
    const around = this.who;
    const before = this.violations.size;
    this.who = who;
    try {
      const result = readerStorage().run(who, fn);
      const [violation] = [...this.violations].slice(before);
      if (violation !== undefined) throw violation;
      return result;
    } finally {
      this.who = around;
    }
  }

  /** Whether the error is one of this activation that was answered already. */
  isAnswered(error: unknown): boolean {
    return this.violations.has(error);
  }
}
