/** Errors that are not failures of workflows or activities. */

/** Sets a class's `name`, so that its errors say what they are. */
export function named(constructor: abstract new (...args: any[]) => Error, name: string): void {
  Object.defineProperty(constructor.prototype, 'name', { value: name, configurable: true, writable: true });
}

/** Thrown from code that receives a value that is unexpected or that it can't handle. */
export class ValueError extends Error {
  constructor(
    message: string | undefined,
    public override readonly cause?: unknown,
  ) {
    super(message ?? undefined);
  }
}
named(ValueError, 'ValueError');

/** Thrown when a payload converter is misconfigured. */
export class PayloadConverterError extends ValueError {}
named(PayloadConverterError, 'PayloadConverterError');

/** Something was done at a time when it can't be, for example running a worker twice. */
export class IllegalStateError extends Error {}
named(IllegalStateError, 'IllegalStateError');

/** The workflow doesn't exist, or has ended already. */
export class WorkflowNotFoundError extends Error {
  constructor(
    message: string,
    public readonly workflowId: string,
    public readonly runId: string | undefined,
  ) {
    super(message);
  }
}
named(WorkflowNotFoundError, 'WorkflowNotFoundError');

/** The namespace doesn't exist. */
export class NamespaceNotFoundError extends Error {
  constructor(public readonly namespace: string) {
    super(`Namespace not found: '${namespace}'`);
  }
}
named(NamespaceNotFoundError, 'NamespaceNotFoundError');
