/**
 * Testing workflows and activities in this process: nothing is downloaded, no port is opened.
 *
 * {@link TestWorkflowEnvironment.createTimeSkipping} gives a server whose clock jumps to the next timer while a test
 * waits; {@link MockActivityEnvironment} runs an activity without any server. Names and semantics are those of
 * `@temporalio/testing`.
 */

export { type ClientOptionsForTestEnv, TimeSkippingClient, TimeSkippingWorkflowClient } from './client';
export {
  type DevServerConfig,
  type ExistingServerTestWorkflowEnvironmentOptions,
  type LocalTestWorkflowEnvironmentOptions,
  TestWorkflowEnvironment,
  type TimeSkippingServerConfig,
  type TimeSkippingTestWorkflowEnvironmentOptions,
} from './environment';
export {
  MockActivityEnvironment,
  type MockActivityEnvironmentOptions,
  defaultActivityInfo,
} from './activity';
