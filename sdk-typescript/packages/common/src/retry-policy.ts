/** When an activity or workflow that failed is tried again. */

import type { temporal } from '@durably/proto';
import { ValueError } from './errors';
import { type Duration, msOptionalToNumber, msOptionalToTs, optionalTsToMs } from './time';

export interface RetryPolicy {
  /** Factor by which the interval grows. At least 1; default 2. */
  backoffCoefficient?: number;
  /** Before the first retry. Default 1 second. */
  initialInterval?: Duration;
  /** Attempts in total, the first one included. Default: no limit. */
  maximumAttempts?: number;
  /** Default: 100 times the initial interval. */
  maximumInterval?: Duration;
  /** Types of application failures that end it all at once. */
  nonRetryableErrorTypes?: string[];
}

/** The message of a policy. What is wrong with the policy is a `ValueError`. */
export function compileRetryPolicy(policy: RetryPolicy): temporal.api.common.v1.IRetryPolicy {
  const { backoffCoefficient, maximumAttempts, nonRetryableErrorTypes } = policy;
  if (backoffCoefficient !== undefined && !(backoffCoefficient > 0)) {
    throw new ValueError('RetryPolicy.backoffCoefficient must be greater than 0');
  }
  if (maximumAttempts !== undefined && maximumAttempts !== Number.POSITIVE_INFINITY) {
    if (maximumAttempts <= 0) throw new ValueError('RetryPolicy.maximumAttempts must be a positive integer');
    if (!Number.isInteger(maximumAttempts)) throw new ValueError('RetryPolicy.maximumAttempts must be an integer');
  }
  const initial = msOptionalToNumber(policy.initialInterval);
  const maximum = msOptionalToNumber(policy.maximumInterval);
  if (maximum === 0) throw new ValueError('RetryPolicy.maximumInterval cannot be 0');
  if (initial === 0) throw new ValueError('RetryPolicy.initialInterval cannot be 0');
  if (maximum !== undefined && maximum < (initial ?? 1000)) {
    throw new ValueError('RetryPolicy.maximumInterval cannot be less than its initialInterval');
  }
  return {
    initialInterval: msOptionalToTs(initial),
    maximumInterval: msOptionalToTs(maximum),
    backoffCoefficient,
    maximumAttempts: maximumAttempts === Number.POSITIVE_INFINITY ? undefined : maximumAttempts,
    nonRetryableErrorTypes,
  };
}

export function decompileRetryPolicy(
  message: temporal.api.common.v1.IRetryPolicy | null | undefined,
): RetryPolicy | undefined {
  if (!message) return undefined;
  return {
    backoffCoefficient: message.backoffCoefficient ?? undefined,
    maximumAttempts: message.maximumAttempts || undefined,
    maximumInterval: optionalTsToMs(message.maximumInterval),
    initialInterval: optionalTsToMs(message.initialInterval),
    nonRetryableErrorTypes: message.nonRetryableErrorTypes ?? undefined,
  };
}
