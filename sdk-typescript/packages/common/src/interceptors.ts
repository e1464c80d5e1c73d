/** Chains of interceptors around a function. */

type Function = (...args: any[]) => any;

/** What comes after a method of an interceptor: the next interceptor's, or at last the function itself. */
export type Next<I, M extends keyof I> = (input: Input<Required<I>[M]>) => Output<Required<I>[M]>;
type Input<F> = F extends (input: infer In, ...rest: any[]) => any ? In : never;
type Output<F> = F extends (...args: any[]) => infer Out ? Out : never;

/** A function that passes its input through the interceptors' method, outermost first, to `next`. */
export function composeInterceptors<I, M extends keyof I>(
  interceptors: readonly I[],
  method: M,
  next: Next<I, M>,
): Next<I, M> {
  return interceptors.reduceRight((inner, interceptor) => {
    const intercept = interceptor[method] as Function | undefined;
    if (intercept === undefined) return inner;
    return ((input: unknown) => intercept.call(interceptor, input, inner)) as Next<I, M>;
  }, next);
}
