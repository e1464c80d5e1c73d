/** A workflow context without a worker: activations in, commands out. */

import assert from 'node:assert/strict';
import { defaultPayloadConverter, toPayloads } from '@durably/common';
import { bundleWorkflowCode } from '@durably/worker';
import { WorkflowContext } from '@durably/worker/lib/workflow/context';
import { workflowsPath } from './worker';

const NOW = { timestamp: { seconds: 1, nanos: 0 }, isReplaying: false, availableFlags: [], historyLength: 3 };

export class Activations {
  private constructor(
    private readonly context: WorkflowContext,
    /** What runs have logged. */
    readonly logged: { message: string }[],
  ) {}

  /** For the workflows of a module. */
  static async of(module: string): Promise<Activations> {
    const { code } = await bundleWorkflowCode({ workflowsPath: workflowsPath(module) });
    const logged: { message: string }[] = [];
    const log = (_level: string, message: string) => void logged.push({ message });
    const logger = { log, trace() {}, debug() {}, info() {}, warn() {}, error() {} };
    return new Activations(new WorkflowContext({ code, logger, timeout: 0 }), logged);
  }

  /** A run that has not begun, and the jobs with which it does. */
  begin(workflowType: string, ...args: unknown[]): { run: any; jobs: object[] } {
    const given = toPayloads(defaultPayloadConverter, ...args);
    const jobs = [{ initialize: { workflowType, workflowId: 'w', arguments: given, headers: {}, randomnessSeed: '1' } }];
    const activation = { runId: 'r', jobs, ...NOW } as any;
    return { run: this.context.createRun({ runId: 'r', activation, failureErrorTypes: [], buildId: '' }), jobs };
  }

  /** What the run answers with. Its task must not fail. */
  answer(run: any, jobs: object[], options: object = {}): { commands: any[]; usedFlags: number[] } {
    const { commands, usedFlags, failed } = this.concluded(run, jobs, options);
    assert.equal(failed?.failure.message, undefined);
    return { commands: [...commands], usedFlags: [...usedFlags] };
  }

  /** Why the run's task fails. It must. */
  failure(run: any, jobs: object[]): string {
    return this.concluded(run, jobs).failed?.failure.message ?? assert.fail('the task did not fail');
  }

  private concluded(run: any, jobs: object[], options: object = {}) {
    this.context.activate(run, { runId: 'r', jobs, ...NOW, ...options } as any, false);
    return this.context.conclude(run);
  }
}

/** The kinds of commands. */
export function kinds(commands: object[]): string[] {
  return commands.map((command) => Object.keys(command).find((key) => key !== 'location' && key !== 'userMetadata')!);
}
