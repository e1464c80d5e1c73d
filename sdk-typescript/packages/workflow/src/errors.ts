/** Errors of the workflow API itself. */

import { named } from '@durably/common/lib/errors';

/** The code and the history of a workflow disagree, or code did what can't be repeated. Fails the workflow task. */
export class DeterminismViolationError extends Error {}
named(DeterminismViolationError, 'DeterminismViolationError');

/** A promise was rejected and nobody handled it. Fails the workflow task. */
export class UnhandledRejectionError extends Error {
  constructor(
    message: string,
    public override cause: unknown,
  ) {
    super(message);
  }
}
named(UnhandledRejectionError, 'UnhandledRejectionError');

/** Ends the run and starts the next one with a fresh history. Thrown by `continueAsNew`; let it pass. */
export class ContinueAsNew extends Error {
  constructor(public readonly command: object) {
    super('Workflow continued as new');
  }
}
named(ContinueAsNew, 'ContinueAsNew');
