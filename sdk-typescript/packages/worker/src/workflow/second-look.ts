/**
 * For tests, which wait to be told where code doesn't yield (`failFast`). A step that lasts is cut off early; that decides
 * nothing. The run is made anew from the activations that it had, and the step is done again, under the profiler, by
 * which its line is known: only then is it judged, and the more patiently the less of the processor this process got.
 */

import type { Activation } from '@durably/workflow/lib/runtime/host';

/** How an activation is applied. */
export interface Trial {
  /** What a new run has to be told first. Empty: the run is there, or begins. */
  earlier: readonly Activation[];
  sampled: boolean;
  /** In milliseconds; the context's, if absent. */
  timeout?: number;
}

/** When to look again, in milliseconds. */
const FIRST_TIMEOUT = 200;
/** No step is waited for longer: it is what one may take outside of tests. */
const LAST_TIMEOUT = 5_000;
/** Of the time that a step took, at least this share must have been the process's. */
const OWN_SHARE = 0.5;
/** Activations that are kept of a run. One that has more is judged the first time, without its line. */
const MOST_KEPT = 1_000;

export class SecondLook {
  /** What each run in the cache was told, the activation under way included. */
  private readonly told = new Map<string, Activation[]>();

  constructor(private readonly timeout: number) {}

  /** An activation begins. */
  begin(activation: Activation): Trial {
    const { runId, jobs } = activation;
    if (jobs.some((job) => job.initialize)) this.told.set(runId, []);
    const told = this.told.get(runId);
    told?.push(activation);
    if (told && told.length > MOST_KEPT) this.told.delete(runId);
    const isKept = this.told.has(runId);
    return { earlier: [], sampled: !isKept, timeout: isKept ? FIRST_TIMEOUT : this.timeout };
  }

  /**
   * The activation did not end in time: how to do it again; undefined if enough was seen. `isPlaced`: its line is known,
   * which it may not be though it was sampled: the profiler has a thread of its own, that got no processor.
   */
  after(
    { runId }: Activation,
    trial: Trial,
    { user, system }: NodeJS.CpuUsage,
    isPlaced: boolean,
  ): Trial | undefined {
    const told = this.told.get(runId);
    const { timeout = this.timeout } = trial;
    if (!told) return undefined;
    const earlier = told.slice(0, -1);
    if (!trial.sampled) return { earlier, sampled: true, timeout: this.timeout };
    const share = Math.max((user + system) / 1000 / timeout, 0.01);
    // The third time is the last: the server doesn't wait for a task for more than ten seconds.
    if (timeout > this.timeout || (share >= OWN_SHARE && isPlaced)) return undefined;
    const longer = Math.max(Math.ceil((2 * timeout * OWN_SHARE) / share), 2 * timeout);
    return { earlier, sampled: true, timeout: Math.min(longer, LAST_TIMEOUT) };
  }

  forget(runId: string): void {
    this.told.delete(runId);
  }
}
