/**
 * Makes everything that runs have in common immutable: the language's built-ins and this library. All runs of a worker
 * share one context, so what one could change, another would see.
 *
 * Where programs customarily assign to an object what it inherits (`this.name = …` in an error's constructor), the
 * inherited property becomes an accessor whose setter gives the object a property of its own.
 */

/** Prototypes that objects of users inherit from in ways that assign. */
const ENABLED: readonly object[] = [Object.prototype, Function.prototype];
const OVERRIDDEN = new Set(['constructor', 'name', 'message', 'toString', 'toJSON', 'valueOf', 'cause', 'stack']);

/** Freezes the objects and all that can be reached from them, except `others`, which belong to other realms. */
export function harden(roots: Iterable<unknown>, others: ReadonlySet<unknown>): void {
  const seen = new Set<unknown>(others);
  const open: object[] = [];
  const found: object[] = [];
  const visit = (value: unknown) => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
    seen.add(value);
    open.push(value);
  };
  for (const root of roots) visit(root);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    found.push(next);
    visit(Object.getPrototypeOf(next));
    for (const key of Reflect.ownKeys(next)) {
      const property = Object.getOwnPropertyDescriptor(next, key);
      visit(property?.value);
      visit(property?.get);
      visit(property?.set);
    }
  }
  for (const object of found) freeze(object);
}

function freeze(object: object): void {
  // Elements of a typed array can't be frozen; there are none among what is shared.
  if (ArrayBuffer.isView(object)) return;
  const enableAll = ENABLED.includes(object);
  if (enableAll || object instanceof Error || isErrorPrototype(object)) {
    for (const key of Reflect.ownKeys(object)) {
      if (enableAll || OVERRIDDEN.has(String(key))) enableOverride(object, key);
    }
  }
  Object.freeze(object);
}

function isErrorPrototype(object: object): boolean {
  return object === Error.prototype || Error.prototype.isPrototypeOf(object);
}

function enableOverride(object: object, key: PropertyKey): void {
  const property = Object.getOwnPropertyDescriptor(object, key);
  if (!property?.configurable || !('value' in property)) return;
  const { value, enumerable } = property;
  const get = () => value as unknown;
  const set = function (this: object, mine: unknown) {
    if (this === object) throw new TypeError(`Cannot assign to ${String(key)}: it is shared by all workflows`);
    Object.defineProperty(this, key, { value: mine, enumerable: true, writable: true, configurable: true });
  };
  Object.defineProperty(object, key, { enumerable: enumerable ?? false, configurable: false, get, set });
  for (const accessor of [get, set]) {
    Object.freeze(accessor.prototype);
    Object.freeze(accessor);
  }
}
