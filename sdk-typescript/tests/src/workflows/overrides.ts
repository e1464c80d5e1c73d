/** What programs assign to objects of their own that those would inherit otherwise, and what they must not assign. */

import * as workflow from '@durably/workflow';

type Loose = Record<PropertyKey, any>;
const loose = (value: unknown) => value as Loose;
const mine = () => 'mine';

/** Assigns to the object itself; tells whether it has what was assigned, as an ordinary property of its own. */
function assigns(object: object, ...keys: PropertyKey[]): string {
  for (const key of keys) {
    const inherited = loose(object)[key];
    loose(object)[key] = mine;
    const own = Object.getOwnPropertyDescriptor(object, key);
    if (!own || own.value !== mine || !own.writable || !own.configurable || !own.enumerable) return `${String(key)} is not its own`;
    loose(object)[key] = 2;
    if (loose(object)[key] !== 2) return `${String(key)} cannot be assigned twice`;
    delete loose(object)[key];
    if (loose(object)[key] !== inherited) return `${String(key)} does not inherit again`;
  }
  return 'fine';
}

class Store extends Map<string, number> {
  constructor() {
    super([['a', 1]]);
    const get = this.get.bind(this);
    this.get = (key) => (get(key) ?? 0) + 1;
    this.clear = () => undefined;
  }
}

/** As compilers for ES5 make of a class. */
function extending(Base: any): any {
  function Sub(this: object, ...args: unknown[]): object {
    return Object.setPrototypeOf(new Base(...args), Sub.prototype) as object;
  }
  function Heir(this: Loose): void {
    this['constructor'] = Sub;
  }
  Heir.prototype = Base.prototype;
  Sub.prototype = new (Heir as any)();
  Sub.prototype.toString = mine;
  return Sub;
}

function legacyArray(): Loose {
  function List(this: object): void {}
  List.prototype = Object.create(Array.prototype);
  List.prototype.constructor = List;
  const list = new (List as any)();
  list.push(1, 2);
  return list as Loose;
}

const iterators = (): Record<string, object> => ({
  array: [].values(),
  map: new Map().entries(),
  set: new Set().values(),
  string: ''[Symbol.iterator](),
  regexp: 'a'.matchAll(/a/g),
  generator: (function* () {})(),
  async: (async function* () {})(),
});

const patterns: Record<string, () => string | boolean> = {
  'methods of a Map, in its constructor': () => new Store().get('a') === 2,
  'toJSON of a Date': () => {
    const date = new Date(0);
    date.toJSON = mine;
    return JSON.stringify(date) === '"mine"';
  },
  'methods of a Date': () => assigns(new Date(0), 'getTime', 'toString', 'valueOf', 'toISOString', 'constructor'),
  'methods of a Set': () => assigns(new (class extends Set {})(), 'add', 'has', 'forEach', Symbol.iterator),
  'methods of a Map': () => assigns(new Map(), 'get', 'set', 'entries', Symbol.iterator, 'constructor'),
  'methods of an Array': () => assigns([1], 'push', 'map', 'join', 'toString', 'constructor', Symbol.iterator),
  'methods of a class that extends Array': () => assigns(new (class extends Array {})(), 'push', 'at', 'concat'),
  'methods of a Promise': () => assigns(Promise.resolve(), 'then', 'catch', 'finally', 'constructor'),
  'methods of a RegExp': () => assigns(/a/, 'exec', 'test', 'toString', 'constructor'),
  'methods of typed arrays': () => assigns(new Uint8Array(1), 'set', 'subarray', 'map', 'toString', 'constructor'),
  'methods of buffers': () => assigns(new ArrayBuffer(1), 'slice') && assigns(new DataView(new ArrayBuffer(1)), 'getInt8'),
  'methods of weak collections': () => assigns(new WeakMap(), 'get', 'set') && assigns(new WeakSet(), 'add'),
  'methods of an Error': () => assigns(new RangeError('x'), 'name', 'toString', 'toJSON', 'constructor'),
  'fields of an Error': () => {
    const error = new (class extends Error {})('a');
    error.name = 'Named';
    error.message = 'b';
    error.cause = 'c';
    error.stack = 'd';
    error.toString = () => `${error.name} ${error.message} ${String(error.cause)} ${error.stack}`;
    return String(error) === 'Named b c d';
  },
  'names of Object.prototype': () => assigns({}, ...Reflect.ownKeys(Object.prototype).filter((key) => key !== '__proto__')),
  'names of Object.prototype in a class': () => assigns(new (class {})(), 'toString', 'valueOf', 'hasOwnProperty'),
  'names of Function.prototype': () => assigns(() => 1, 'call', 'apply', 'bind', 'toString'),
  'methods of wrappers': () => assigns(Object('x'), 'trim', 'at') && assigns(Object(1), 'toFixed') && assigns(Object(Symbol()), 'toString'),
  'methods of an iterator': () => {
    const wrong = Object.entries(iterators()).map(([name, of]) => `${name}: ${assigns(of, 'next')}`);
    return wrong.filter((line) => !line.endsWith('fine')).join() || 'fine';
  },
  'iterators of iterators': () => {
    const wrong = Object.entries(iterators()).map(([name, of]) =>
      assigns(of, name === 'async' ? Symbol.asyncIterator : Symbol.iterator),
    );
    return wrong.find((line) => line !== 'fine') ?? 'fine';
  },
  'methods of a generator': () => assigns((function* () {})(), 'return', 'throw'),
  'statics of a class that extends': () => assigns(class extends Promise<void> {}, 'all', 'resolve', 'race') && assigns(class extends Map {}, 'groupBy'),
  'statics of classes that extend': () => assigns(class extends Array {}, 'from', 'of') && assigns(class extends Error {}, 'captureStackTrace'),
  'what inherits from a namespace': () => assigns(Object.create(Math) as object, 'random', 'max') && assigns(Object.create(console) as object, 'log'),
  'what inherits from JSON': () => assigns(Object.create(JSON) as object, 'parse'),
  'methods of a URL': () => assigns(new URL('http://a/'), 'toJSON', 'toString'),
  'methods of failures': () => assigns(new workflow.ApplicationFailure('x'), 'toString', 'name', 'constructor'),
  'methods of scopes': () => assigns(new workflow.CancellationScope(), 'run', 'cancel'),
  'methods of Intl': () => assigns(new Intl.NumberFormat(), 'resolvedOptions', 'formatToParts'),
  'classes of old style': () => {
    const [SubMap, SubError, SubArray, SubPromise] = [Map, Error, Array, Promise].map(extending);
    const made = [new SubMap([[1, 2]]), new SubError('x'), new SubArray(), new SubPromise(() => undefined)];
    return made.every((one) => String(one) === 'mine' && !Object.hasOwn(one as object, 'constructor')) && made[0].get(1) === 2;
  },
  'lists of old style': () => {
    const list = legacyArray();
    list['length'] = 1;
    return list['length'] === 1 && list[0] === 1 && [].length === 0;
  },
  'prototypes that are given by hand': () => assigns(Object.setPrototypeOf({}, Map.prototype) as object, 'get') && assigns(Object.create(RegExp.prototype) as object, 'exec'),
  'super in a method': () => {
    const of = { __proto__: Map.prototype, set: mine, change: function () {} } as Loose;
    const changer = { __proto__: Map.prototype, clear: 1, change() { (super.clear as unknown) = 3; return this.clear; } } as any;
    return changer.change() === 3 && assigns(of, 'get') === 'fine';
  },
  'Reflect.set on another receiver': () => {
    const receiver = {};
    return Reflect.set(Map.prototype, 'get', 1, receiver) && Object.getOwnPropertyDescriptor(receiver, 'get')!.value === 1;
  },
  'Object.assign': () => String(Object.assign(Object.create(Map.prototype), { toString: mine, get: mine })) === 'mine',
};

/** Names of the patterns that don't work, and why not. */
export async function override(): Promise<[count: number, ...wrong: string[]]> {
  const wrong: string[] = [];
  for (const [name, pattern] of Object.entries(patterns)) {
    try {
      const found = pattern();
      if (found !== true && found !== 'fine') wrong.push(`${name}: ${String(found)}`);
    } catch (error) {
      wrong.push(`${name}: ${String(error)}`);
    }
  }
  return [Object.keys(patterns).length, ...wrong];
}

/** A promise with a `then` of its own is asked by it what it resolves to, as anywhere. */
export async function thenable(): Promise<string> {
  const promise = Promise.resolve('theirs');
  promise.then = (resolve: any) => resolve('mine');
  return await new Promise((resolve) => resolve(promise));
}

/** What reads properties instead of calling methods finds that they are data in truth, as packages expect of such accessors. */
export async function describes(): Promise<unknown[]> {
  const { get } = Object.getOwnPropertyDescriptor(Map.prototype, 'get')!;
  return [loose(get)['originalValue'] === Map.prototype.get, Object.keys(Map.prototype), Map.prototype.get.name];
}

/** All in which assignments to what is shared could end. */
const targets: Record<string, [object, PropertyKey]> = {
  get: [Map.prototype, 'get'],
  then: [Promise.prototype, 'then'],
  resolve: [Promise, 'resolve'],
  iterator: [Array.prototype, Symbol.iterator],
  next: [Object.getPrototypeOf([].values()) as object, 'next'],
  length: [Array.prototype, 'length'],
  regexp: [RegExp.prototype, 'constructor'],
  random: [Math, 'random'],
  run: [workflow.CancellationScope.prototype, 'run'],
};

export async function assignsShared(name: string): Promise<void> {
  const [object, key] = targets[name]!;
  loose(object)[key] = key === 'length' ? 7 : mine;
}

/** As `assignsShared`, in each way after which nothing could be put back: none works. */
export async function definesShared(name: string): Promise<string[]> {
  const [object, key] = targets[name]!;
  const value = { value: key === 'length' ? 7 : mine, writable: false };
  const before = loose(object)[key];
  const proxy = new Proxy(object, {});
  const ways: Record<string, () => unknown> = {
    define: () => Object.defineProperty(object, key, value),
    defineAll: () => Object.defineProperties(object, { [key]: value }),
    reflect: () => Reflect.defineProperty(object, key, value),
    proxy: () => Object.defineProperty(proxy, key, value),
    reflectProxy: () => Reflect.defineProperty(proxy, key, value),
    revocable: () => Object.defineProperty(Proxy.revocable(object, {}).proxy, key, value),
    freezeProxy: () => Object.freeze(proxy),
    getter: () => loose(object)['__defineGetter__'](key, mine),
    field: () => new (class extends (function (this: object) { return object; } as any) { [key] = 1; })(),
    remove: () => delete loose(object)[key],
    prototype: () => Object.setPrototypeOf(object, null) as unknown,
  };
  const done: string[] = [];
  for (const [way, change] of Object.entries(ways)) {
    try {
      change();
    } catch {
      // Refused.
    }
    if (loose(object)[key] !== before) done.push(way);
  }
  Object.freeze(object);
  return done;
}
