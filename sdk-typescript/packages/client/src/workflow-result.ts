/** From how a workflow ended to its result, or to what `result` throws. */

import {
  CancelledFailure,
  type LoadedDataConverter,
  RetryState,
  TerminatedFailure,
  TimeoutFailure,
  TimeoutType,
} from '@durably/common';
import { retryStateOf } from '@durably/common/lib/failure';
import {
  decodeArrayFromPayloads,
  decodeFromPayloadsAtIndex,
  decodeOptionalFailureToOptionalError,
} from '@durably/common/lib/internal-non-workflow';
import type { durably } from '@durably/proto';
import { WorkflowContinuedAsNewError, WorkflowFailedError } from './errors';

/** The result of a workflow that completed; throws otherwise. */
export async function resultOf(ended: durably.core.v1.WorkflowResult, converter: LoadedDataConverter): Promise<unknown> {
  if (ended.completed) return decodeFromPayloadsAtIndex(converter, 0, ended.completed.payloads);
  if (ended.failed) {
    const cause = await decodeOptionalFailureToOptionalError(converter, ended.failed);
    throw new WorkflowFailedError('Workflow execution failed', cause, retryStateOf(ended.retryState));
  }
  if (ended.cancelled) {
    const details = await decodeArrayFromPayloads(converter, ended.cancelled.payloads);
    throw failed('Workflow execution cancelled', new CancelledFailure('Workflow canceled', details));
  }
  if (ended.terminated) {
    const reason = ended.terminated.reason || 'Workflow execution terminated';
    throw failed(reason, new TerminatedFailure(reason));
  }
  if (ended.timedOut !== undefined) {
    const message = 'Workflow execution timed out';
    const cause = new TimeoutFailure(message, undefined, TimeoutType.START_TO_CLOSE);
    throw failed(message, cause, retryStateOf(ended.timedOut));
  }
  if (ended.continuedAsNewRunId) {
    throw new WorkflowContinuedAsNewError('Workflow execution continued as new', ended.continuedAsNewRunId);
  }
  throw new TypeError('The workflow closed in a way that this version does not know');
}

/** The cause happened to the workflow, not here: it has no stack. */
function failed(
  message: string,
  cause: Error,
  retryState: RetryState | undefined = RetryState.NON_RETRYABLE_FAILURE,
): WorkflowFailedError {
  cause.stack = '';
  return new WorkflowFailedError(message, cause, retryState);
}
