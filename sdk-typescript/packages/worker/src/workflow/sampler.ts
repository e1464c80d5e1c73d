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

/** What was seen of the code, in the bundle's positions. */
export interface Sighting {
  /** Empty if nothing of the bundle was seen. */
  stack: string;
  /** Whether the innermost frame has its line: the profiler may know of a frame only by what it calls. */
  isPlaced: boolean;
}

const NOTHING: Sighting = { stack: '', isPlaced: false };

/** Samples what this thread does between `start` and `stop`. */
export class Sampler {
  private readonly session: Session | undefined = open();
  private isStopped = false;

  start(): void {
    this.session?.post('Profiler.enable');
    this.session?.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
    this.session?.post('Profiler.start');
  }

  /** Ends the sampling. */
  stop(): Sighting {
    let seen = NOTHING;
    // Once: what is disconnected answers no more.
    if (this.isStopped) return seen;
    this.isStopped = true;
    this.session?.post('Profiler.stop', (error, result) => {
      if (error === null) seen = sightingIn((result as { profile: Profile }).profile);
    });
    this.session?.disconnect();
    return seen;
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

/** The last sample that tells the line, or at least a function. */
function sightingIn({ nodes, samples = [] }: Profile): Sighting {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)));
  const isUsers = (node: Node | undefined) => node?.callFrame.url.endsWith(BUNDLE_NAME) ?? false;
  let seen = NOTHING;
  for (let i = samples.length - 1; i >= 0 && !seen.isPlaced; i--) {
    const frames: Node[] = [];
    for (let node = byId.get(samples[i]!); node !== undefined; node = parents.get(node.id)) {
      if (isUsers(node)) frames.push(node);
    }
    const isPlaced = (frames[0]?.positionTicks?.length ?? 0) > 0;
    if (frames.length === 0 || (seen.stack !== '' && !isPlaced)) continue;
    seen = { stack: frames.map((node, index) => lineOf(node, index === 0)).join('\n'), isPlaced };
  }
  return seen;
}

/** The innermost frame has the line that was seen most; of the others only the function is known. */
function lineOf({ callFrame, positionTicks = [] }: Node, innermost: boolean): string {
  const { functionName, lineNumber, columnNumber } = callFrame;
  const [most] = innermost ? [...positionTicks].sort((a, b) => b.ticks - a.ticks) : [];
  const position = most ? `${most.line}:${END_OF_LINE}` : `${lineNumber + 1}:${columnNumber + 1}`;
  return `    at ${functionName || '<anonymous>'} (${BUNDLE_NAME}:${position})`;
}
