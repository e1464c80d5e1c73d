/** Calls that cannot succeed get the gRPC status and the error that the SDK turns into its own class. */

import { strict as assert } from 'node:assert';
import { Client, isGrpcServiceError, ServiceError, WorkflowFailedError } from '@temporalio/client';
import {
  ApplicationFailure,
  NamespaceNotFoundError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
} from '@temporalio/common';
import { type Env, failure } from '../harness/harness';
import { ends, finish } from './workflows';

const INVALID_ARGUMENT = 3;

export async function check(env: Env): Promise<void> {
  const { taskQueue } = env;
  const workflowId = env.newId();
  const handle = await env.startWith({ workflowId }, ends, false);
  const start = (options: object) => env.client.workflow.start(ends, { workflowId, taskQueue, args: [false], ...options });

  const twice = await failure(start({}), WorkflowExecutionAlreadyStartedError);
  assert.equal(twice.workflowId, workflowId);
  const same = await start({ workflowIdConflictPolicy: 'USE_EXISTING' });
  assert.equal(same.firstExecutionRunId, handle.firstExecutionRunId);
  await handle.signal(finish);
  assert.equal(await handle.result(), 'ended');
  await failure(start({ workflowIdReusePolicy: 'REJECT_DUPLICATE' }), WorkflowExecutionAlreadyStartedError);

  const failing = await env.start(ends, true);
  const { cause } = await failure(failing.result(), WorkflowFailedError);
  assert(cause instanceof ApplicationFailure, String(cause));
  assert.deepEqual([cause.type, cause.message, cause.nonRetryable], ['Deliberate', 'deliberate', true]);
  assert.deepEqual(cause.details, [{ code: 7 }]);

  const unknown = env.client.workflow.getHandle('no-such-workflow');
  await failure(unknown.describe(), WorkflowNotFoundError);
  await failure(unknown.signal('x'), WorkflowNotFoundError);
  await failure(unknown.cancel(), WorkflowNotFoundError);
  await failure(unknown.terminate(), WorkflowNotFoundError);
  await failure(handle.signal(finish), WorkflowNotFoundError); // the run has ended
  const tooLong = await failure(start({ workflowId: 'x'.repeat(2000) }), ServiceError);
  assert(isGrpcServiceError(tooLong.cause), String(tooLong.cause));
  assert.equal(tooLong.cause.code, INVALID_ARGUMENT);
  const elsewhere = new Client({ connection: env.connection, namespace: 'no-such-namespace' });
  await failure(elsewhere.workflow.start(ends, { workflowId, taskQueue, args: [false] }), NamespaceNotFoundError);
}
