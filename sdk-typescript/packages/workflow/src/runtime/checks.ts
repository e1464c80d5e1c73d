/** Values of a wrong type are refused where the user's code gives them: encoded later, they would fail far from there. */

/** Refuses what is given and is not a string, or is an empty one. */
export function checkText(what: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string, not ${describe(value)}`);
  if (value === '') throw new TypeError(`${what} must not be empty`);
}

/** As `checkText`, for what must be given. */
export function checkRequiredText(what: string, value: unknown): void {
  if (value === undefined || value === null) throw new TypeError(`${what} must be a string, not ${value}`);
  checkText(what, value);
}

/** Refuses what is given and is not an object with properties. */
export function checkObject(what: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (typeof value !== 'object' || Array.isArray(value)) throw new TypeError(`${what} must be an object, not ${describe(value)}`);
}

/** Refuses what is given and is not an array. */
export function checkList(what: string, value: unknown): void {
  if (value === undefined || value === null || Array.isArray(value)) return;
  throw new TypeError(`${what} must be an array, not ${describe(value)}`);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'function') return `the function ${value.name}`.trimEnd();
  if (typeof value === 'object') return 'an object';
  return typeof value === 'string' ? JSON.stringify(value) : `the ${typeof value} ${String(value)}`;
}
