/** What a run's code waits for, by the numbers of the commands that began it. */

import type { CancellationScope } from '../cancellation-scope';

export interface Settle {
  resolve: (value: any) => void;
  reject: (error: unknown) => void;
}

/** Something that the code waits for; `at` knows where it was begun. */
export type Pending = Settle & { at: Error };

export function take(from: Map<number, Pending>, seq: number): Pending | undefined {
  const pending = from.get(seq);
  from.delete(seq);
  return pending;
}

/** The same, which calls `forget` when it is settled: such as to leave a scope that it no longer belongs to. */
export function forgetting({ resolve, reject, at }: Pending, forget: (() => void) | undefined): Pending {
  if (forget === undefined) return { resolve, reject, at };
  const first =
    <T>(settle: (value: T) => void) =>
    (value: T) => {
      forget();
      settle(value);
    };
  return { resolve: first(resolve), reject: first(reject), at };
}

/** Whether the scope is cancelled already, so that nothing may begin in it: rejects with its error then. */
export function isCancelled(scope: CancellationScope, reject: (error: unknown) => void): boolean {
  if (scope.consideredCancelled) scope.cancelRequested.catch(reject);
  return scope.consideredCancelled;
}
