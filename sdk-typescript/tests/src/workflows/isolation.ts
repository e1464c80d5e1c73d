/** Workflows that try to leave something behind for others, in every way that the language has. */

import * as workflow from '@durably/workflow';

// A run's `Reflect` is its own, so a run can spoil it for itself.
const { defineProperty, deleteProperty, ownKeys, set, setPrototypeOf } = Reflect;

export const state = { marks: [] as string[] };
let count = 0;

/** Everything that code can reach without being given it. */
function roots(): Record<string, unknown> {
  const literals = [[], {}, () => 1, async () => 1, /x/, 'x', 1, true, 1n, Symbol('x'), new Error('x'), new Map(), new Set()];
  const generators = [(function* () {})(), (async function* () {})(), [][Symbol.iterator](), 'x'.matchAll(/x/g)];
  const made = [new Date(0), Promise.resolve(), new URL('http://a/?b=1'), new TextEncoder(), new TextDecoder(), workflow.workflowInfo()];
  const errors = [attempt(() => new URL('no url')), attempt(() => (undefined as any).x), attempt(() => JSON.parse('{'))];
  const segments = new Intl.Segmenter().segment('x');
  const { Iterator } = globalThis as any;
  const later = Iterator ? [([].values() as any).map((x: unknown) => x), Iterator.from({ next: () => ({ done: true }) })] : [];
  return {
    globals: globalThis,
    inherited: Object.getPrototypeOf(globalThis),
    workflow,
    values: [...literals, ...generators, ...made, ...errors, segments, segments[Symbol.iterator](), ...later],
  };
}

function attempt(fn: () => unknown): unknown {
  try {
    return fn();
  } catch (error) {
    return error;
  }
}

/** All objects that can be reached, with the way to each. */
function reach(): Map<object, string> {
  const found = new Map<object, string>();
  const open: [unknown, string][] = [[roots(), '']];
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const [value, path] = next;
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || found.has(value)) continue;
    found.set(value, path);
    open.push([Object.getPrototypeOf(value), `${path}.__proto__`]);
    for (const key of ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, key)!;
      for (const part of ['value', 'get', 'set'] as const) open.push([property[part], `${path}.${String(key)}`]);
    }
  }
  return found;
}

/** What there is, in words: the same for every run that comes to a clean place. */
export async function look(): Promise<string[]> {
  const lines = [`${count++} ${state.marks.length}`];
  for (const [object, path] of reach()) {
    const keys = ownKeys(object).map((key) => {
      const { value } = Object.getOwnPropertyDescriptor(object, key)!;
      return `${String(key)}:${typeof value === 'function' || typeof value === 'object' ? typeof value : 'value'}`;
    });
    lines.push(`${path} ${keys.join(' ')}`);
  }
  return lines;
}

/** Changes what it can, as the seed says; gives how many changes went through. */
export async function spoil(seed: number): Promise<number> {
  let random = seed;
  const next = (below: number) => {
    random = (random * 1103515245 + 12345) % 2147483648;
    return Math.floor((random / 2147483648) * below);
  };
  const objects = [...reach().keys()];
  let changes = 0;
  for (let i = 0; i < 3000; i++) {
    const object = objects[next(objects.length)]!;
    const keys = ownKeys(object);
    const key = keys.length > 0 && next(2) ? keys[next(keys.length)]! : `mark${next(5)}`;
    try {
      if (change(object, key, next(6))) changes++;
    } catch {
      // What is shared can't be changed; what is this run's own may be.
    }
  }
  count++;
  // It may have spoiled this, too.
  attempt(() => state.marks.push(`spoiled by ${seed}`));
  return changes;
}

function change(object: object, key: PropertyKey, way: number): boolean {
  switch (way) {
    case 0:
      return set(object, key, 'spoiled');
    case 1:
      return defineProperty(object, key, { value: 'spoiled', configurable: true });
    case 2:
      return deleteProperty(object, key);
    case 3:
      return setPrototypeOf(object, null);
    case 4:
      return set(object, key, 'spoiled', Object.getPrototypeOf(object) ?? object);
    default:
      (object as Record<PropertyKey, unknown>)[key] = () => 'spoiled';
      return true;
  }
}

/** What programs customarily assign works although everything shared is frozen. */
export async function assign(): Promise<unknown[]> {
  class Named extends Error {
    constructor(message: string) {
      super(message);
      this.name = 'Named';
      this.message = `${message}!`;
    }
  }
  class Failed extends workflow.ApplicationFailure {
    constructor() {
      super('failed');
      (this as { name: string }).name = 'Failed';
    }
  }
  function Old(this: { toString: () => string }): void {
    this.toString = () => 'old';
  }
  Old.prototype.constructor = Old;
  const error = new Named('m');
  return [
    error.name,
    error.message,
    error instanceof Named,
    new Failed().name,
    String(new (Old as any)()),
    [3, 1, 2].sort(),
    [...new Map([[1, [2]]])],
    structured(),
  ];
}

function structured(): unknown {
  const copy = Object.assign({}, { toJSON: () => 'json' });
  return JSON.parse(JSON.stringify({ copy, when: new Date(0) }));
}

/** Code made of strings would reach the global object itself. */
export async function evaluate(): Promise<string[]> {
  return ['Function', 'eval'].map((name) => {
    const make = (globalThis as any)[name] as (code: string) => unknown;
    return String(attempt(() => make('return 1')));
  });
}

/** The ways to objects that are not of this realm. */
export async function foreign(): Promise<string[]> {
  return [...reach()].filter(([object]) => !isOwn(object)).map(([, path]) => path);
}

function isOwn(object: object): boolean {
  let last = object;
  for (let of = Object.getPrototypeOf(object); of !== null; of = Object.getPrototypeOf(of)) last = of;
  return last === Object.prototype || last === object;
}
