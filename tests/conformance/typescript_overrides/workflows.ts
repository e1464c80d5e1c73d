/** What programs assign to objects of their own, which inherit it from built-ins that all runs share. */

import { ApplicationFailure, CancellationScope } from '@temporalio/workflow';

type Loose = Record<PropertyKey, any>;

class Store extends Map<string, number> {
  constructor() {
    super([['a', 1]]);
    const get = this.get.bind(this);
    this.get = (key) => (get(key) ?? 0) + 1;
  }
}

class Tags extends Set<string> {
  constructor() {
    super();
    this.add = (tag) => super.add(tag.toLowerCase());
  }
}

class Stack extends Array<number> {
  constructor() {
    super();
    this.push = (...items) => super.push(...items.reverse());
  }
}

/** Gives an object a method of its own, and tells whether it has it, and has it no more once it is deleted. */
function owns(object: object, ...keys: PropertyKey[]): boolean {
  return keys.every((key) => {
    const inherited = (object as Loose)[key];
    const mine = () => 'mine';
    (object as Loose)[key] = mine;
    const isOwn = (object as Loose)[key] === mine && Object.hasOwn(object, key);
    delete (object as Loose)[key];
    return isOwn && (object as Loose)[key] === inherited;
  });
}

const patterns: Record<string, () => boolean> = {
  map: () => new Store().get('a') === 2,
  set: () => new Tags().add('A').has('a'),
  array: () => {
    const stack = new Stack();
    stack.push(1, 2);
    return stack.join() === '2,1';
  },
  date: () => {
    const date = new Date(0);
    date.toJSON = () => 'day one';
    return JSON.stringify([date]) === '["day one"]';
  },
  regexp: () => {
    const pattern = /a/;
    pattern.exec = () => null;
    return !pattern.test('a');
  },
  error: () => {
    const error = new RangeError('too far');
    error.name = 'Far';
    error.toString = () => `${error.name}!`;
    return String(error) === 'Far!';
  },
  object: () => `${Object.assign({}, { toString: () => 'mine' })}` === 'mine',
  promise: () => owns(Promise.resolve(), 'then', 'catch', 'finally'),
  'typed array': () => owns(new Uint8Array(1), 'set', 'subarray', 'toString'),
  iterators: () => [[].values(), new Map().entries(), new Set().values(), ''[Symbol.iterator]()].every((of) => owns(of, 'next', Symbol.iterator)),
  generator: () => owns((function* () {})(), 'next', 'return', 'throw'),
  function: () => owns(() => 1, 'call', 'apply', 'bind'),
  statics: () => owns(class extends Array {}, 'from', 'of') && owns(class extends Promise<void> {}, 'all', 'resolve'),
  prototypes: () => owns(Object.create(Map.prototype) as object, 'get', 'set') && owns(Object.setPrototypeOf({}, Date.prototype) as object, 'getTime'),
  failure: () => owns(new ApplicationFailure('x'), 'toString', 'name'),
  scope: () => owns(new CancellationScope(), 'run', 'cancel'),
};

/** The patterns that don't work, with the reason. */
export async function override(): Promise<Record<string, string>> {
  const wrong: Record<string, string> = {};
  for (const [name, pattern] of Object.entries(patterns)) {
    try {
      if (!pattern()) wrong[name] = 'has no effect';
    } catch (error) {
      wrong[name] = String(error);
    }
  }
  return wrong;
}

/** A promise with a `then` of its own is asked by it what it resolves to. */
export async function thenable(): Promise<string> {
  const promise = Promise.resolve('theirs');
  promise.then = (resolve: any) => resolve('mine');
  return await new Promise((resolve) => resolve(promise));
}
