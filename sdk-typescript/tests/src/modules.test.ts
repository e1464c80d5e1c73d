/** The packages from ES modules and from CommonJS, and what they export. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { bundleWorkflowCode } from '@durably/worker';

/** What programs of the official SDK import most. */
const NAMES: Record<string, string[]> = {
  activity: ['Context', 'CompleteAsyncError', 'heartbeat', 'log', 'sleep', 'activityInfo', 'ApplicationFailure'],
  client: [
    'ApplicationFailure',
    'AsyncCompletionClient',
    'CancelledFailure',
    'Client',
    'Connection',
    'QueryNotRegisteredError',
    'QueryRejectCondition',
    'QueryRejectedError',
    'ServiceError',
    'WorkflowClient',
    'WorkflowContinuedAsNewError',
    'WorkflowExecutionAlreadyStartedError',
    'WorkflowFailedError',
    'WorkflowIdConflictPolicy',
    'WorkflowIdReusePolicy',
    'WorkflowNotFoundError',
    'defaultPayloadConverter',
    'isGrpcServiceError',
  ],
  common: ['ApplicationFailure', 'DefaultPayloadConverter', 'TypedSearchAttributes', 'defineSearchAttributeKey'],
  testing: ['MockActivityEnvironment', 'TestWorkflowEnvironment', 'TimeSkippingWorkflowClient', 'defaultActivityInfo'],
  worker: ['DefaultLogger', 'NativeConnection', 'Runtime', 'Worker', 'bundleWorkflowCode'],
};

const run = promisify(execFile);

for (const [name, names] of Object.entries(NAMES)) {
  test(`@durably/${name} can be imported and required`, async () => {
    const esm = `import { ${names.join(', ')} } from '@durably/${name}'; console.log([${names.join(', ')}].includes(undefined))`;
    const { stdout: imported } = await run(process.execPath, ['--input-type=module', '--eval', esm], { cwd: __dirname });
    assert.equal(imported, 'false\n');
    const required = require(`@durably/${name}`) as Record<string, unknown>;
    for (const one of names) assert.ok(one in required, one);
  });
}

test('workflowsPath may be a file: URL, and errors suggest what there is in the module system', async () => {
  const url = pathToFileURL(join(__dirname, 'workflows', 'greeting.js'));
  for (const workflowsPath of [url, url.href]) {
    assert.match((await bundleWorkflowCode({ workflowsPath })).code, /greeting/);
  }
  await assert.rejects(bundleWorkflowCode({ workflowsPath: 'https://example.com/workflows.js' }), /must be an absolute path or a file: URL/);
  await assert.rejects(bundleWorkflowCode({ workflowsPath: new URL('https://example.com/workflows.js') }), /must be an absolute path or a file: URL/);
  const program = "import { bundleWorkflowCode } from '@durably/worker'; await bundleWorkflowCode({ workflowsPath: './no' }).catch((e) => console.log(e.message))";
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: __dirname });
  assert.match(stdout, /such as import\.meta\.resolve\('\.\/workflows\.js'\) gives, not "\.\/no"/);
});
