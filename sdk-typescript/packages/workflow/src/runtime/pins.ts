/**
 * The few properties of built-ins that stay writable, although all runs have them in common.
 *
 * V8 watches them for the whole process: were one of them redefined in any context, spreading arrays, `map`, `filter`,
 * awaiting promises and replacing in strings would be slower everywhere, up to fifteen times. And as long as they are
 * data, only a writable one lets users assign their own to their own array, promise or iterator. So they are left as
 * they are; what a run does to them is undone when its code has run, before another's does, and fails its task.
 */

interface Pin {
  object: any;
  key: PropertyKey;
  value: unknown;
  name: string;
}

const pins: Pin[] = [];
const pinned = new Map<unknown, Set<PropertyKey>>();

/** Notes what they are, and takes from the context the means to make them what they couldn't be made from again. */
export function pinBuiltIns(): void {
  const iterators = { Array: [], Map: new Map(), Set: new Set(), String: '' };
  for (const [name, of] of Object.entries(iterators)) {
    const iterator = (of as Iterable<unknown>)[Symbol.iterator]();
    pin(`${name}Iterator.prototype`, Object.getPrototypeOf(iterator), 'next');
    pin(`${name}.prototype`, Object.getPrototypeOf(Object(of)), Symbol.iterator);
  }
  const Iterator = Object.getPrototypeOf(Object.getPrototypeOf([].values()));
  pin('Iterator.prototype', Iterator, Symbol.iterator);
  // `length` can't be made an accessor, and what inherits from an array's prototype without being an array assigns it.
  pin('Array.prototype', Array.prototype, 'constructor', 'length');
  pin('Promise.prototype', Promise.prototype, 'constructor', 'then');
  pin('Promise', Promise, 'resolve');
  pin('RegExp.prototype', RegExp.prototype, 'constructor');
  const TypedArray = Object.getPrototypeOf(Uint8Array) as object;
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    const value = (globalThis as Record<string, any>)[name];
    if (typeof value === 'function' && Object.getPrototypeOf(value) === TypedArray) {
      pin(`${name}.prototype`, value.prototype as object, 'constructor');
    }
  }
  guardDefinitions();
}

function pin(name: string, object: object, ...keys: PropertyKey[]): void {
  const all = pinned.get(object) ?? new Set();
  pinned.set(object, all);
  for (const key of keys) {
    all.add(key);
    pins.push({ object, key, value: (object as any)[key], name: `${name}.${String(key)}` });
  }
}

/** Keys of the object that have to stay as they are. */
export function pinnedKeys(object: object): ReadonlySet<PropertyKey> | undefined {
  return pinned.get(object);
}

/** Undoes what was assigned; tells the first of it. Loops by index: iterators may be what is spoiled. */
export function restorePins(): string | undefined {
  let spoiled: string | undefined;
  for (let i = 0; i < pins.length; i++) {
    const { object, key, value, name } = pins[i]!;
    if (object[key] === value) continue;
    object[key] = value;
    spoiled ??= name;
  }
  return spoiled;
}

/**
 * A writable property can be made read-only, which nothing undoes. Only these functions can, and what a proxy forwards;
 * what else defines properties makes configurable ones, which sealed objects refuse.
 */
function guardDefinitions(): void {
  const { defineProperty, defineProperties, freeze } = Object;
  const reflectDefine = Reflect.defineProperty;
  const refuse = (key: unknown): never => {
    throw new TypeError(`Cannot redefine property: ${String(key)}`);
  };
  const guarded = {
    defineProperty(object: any, key: PropertyKey, attributes: PropertyDescriptor) {
      return pinned.has(object) ? refuse(key) : defineProperty(object, key, attributes);
    },
    defineProperties(object: any, properties: PropertyDescriptorMap) {
      return pinned.has(object) ? refuse(Reflect.ownKeys(properties)[0]) : defineProperties(object, properties);
    },
    // As frozen as it can be.
    freeze: (object: any) => (pinned.has(object) ? object : freeze(object)) as object,
  };
  for (const [name, value] of Object.entries(guarded)) {
    defineProperty(Object, name, { value, writable: true, configurable: true });
  }
  const reflected = (object: any, key: PropertyKey, attributes: PropertyDescriptor) =>
    !pinned.has(object) && reflectDefine(object, key, attributes);
  defineProperty(Reflect, 'defineProperty', { value: reflected, writable: true, configurable: true });
  const RealProxy = Proxy;
  const refusing = { defineProperty: () => false, preventExtensions: () => false };
  function GuardedProxy(target: object, handler: ProxyHandler<object>): object {
    if (new.target === undefined) throw new TypeError("Constructor Proxy requires 'new'");
    return new RealProxy(pinned.has(target) ? new RealProxy(target, refusing) : target, handler);
  }
  const revocable = (target: object, handler: ProxyHandler<object>) =>
    RealProxy.revocable(pinned.has(target) ? new RealProxy(target, refusing) : target, handler);
  defineProperty(GuardedProxy, 'name', { value: 'Proxy' });
  defineProperty(GuardedProxy, 'revocable', { value: revocable, writable: true, configurable: true });
  // As the real one, which has none.
  defineProperty(GuardedProxy, 'prototype', { value: undefined, writable: false });
  defineProperty(globalThis, 'Proxy', { value: GuardedProxy, writable: true, configurable: true });
}
