/**
 * Finds out where code is that doesn't yield. Code that is cut off leaves no stack behind, so a step that was cut off once
 * runs under V8's sampling profiler the next time, which is too costly for all others.
 */

import type { Session } from 'node:inspector';
import { BUNDLE_NAME } from './bundler';

interface Frame {
  functionName: string;
  url: string;
  /** From 0, as the column: where the function begins. */
  lineNumber: number;
  columnNumber: number;
}

interface Node {
  id: number;
  callFrame: Frame;
  children?: number[];
  /** Lines, from 1, in which samples were taken. */
  positionTicks?: { line: number; ticks: number }[];
}

interface Profile {
  nodes: Node[];
  samples?: number[];
}

const INTERVAL_MICROS = 5_000;
/** Beyond any column: what is mapped is the last position of the line. */
const END_OF_LINE = 100_000;

/** Samples what this thread does between `start` and `stop`. */
export class Sampler {
  private readonly session: Session | undefined = open();
  private isStopped = false;

  start(): void {
    this.session?.post('Profiler.enable');
    this.session?.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
    this.session?.post('Profiler.start');
  }

  /** Ends the sampling; gives the stack in the bundle's positions, empty if nothing of the bundle was seen. */
  stop(): string {
    let stack = '';
    // Once: what is disconnected answers no more.
    if (this.isStopped) return stack;
    this.isStopped = true;
    this.session?.post('Profiler.stop', (error, result) => {
      if (error === null) stack = stackOf((result as { profile: Profile }).profile);
    });
    this.session?.disconnect();
    return stack;
  }
}

function open(): Session | undefined {
  try {
    // Not in each build of Node.js.
    const inspector = require('node:inspector') as typeof import('node:inspector');
    const session = new inspector.Session();
    session.connect();
    return session;
  } catch {
    return undefined;
  }
}

function stackOf({ nodes, samples = [] }: Profile): string {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)));
  const isUsers = (node: Node | undefined) => node?.callFrame.url.endsWith(BUNDLE_NAME) ?? false;
  for (let i = samples.length - 1; i >= 0; i--) {
    const lines: string[] = [];
    for (let node = byId.get(samples[i]!); node !== undefined; node = parents.get(node.id)) {
      if (isUsers(node)) lines.push(lineOf(node, lines.length === 0));
    }
    if (lines.length > 0) return lines.join('\n');
  }
  return '';
}

/** The innermost frame has the line that was seen most; of the others only the function is known. */
function lineOf({ callFrame, positionTicks = [] }: Node, innermost: boolean): string {
  const { functionName, lineNumber, columnNumber } = callFrame;
  const [most] = innermost ? [...positionTicks].sort((a, b) => b.ticks - a.ticks) : [];
  const position = most ? `${most.line}:${END_OF_LINE}` : `${lineNumber + 1}:${columnNumber + 1}`;
  return `    at ${functionName || '<anonymous>'} (${BUNDLE_NAME}:${position})`;
}
