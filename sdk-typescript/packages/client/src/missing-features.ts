/** What official clients have and this release lacks: whoever uses it reads that, instead of `undefined`. */

const HANDLE = ['executeUpdate', 'startUpdate', 'getUpdateHandle'];
const WORKFLOW_CLIENT = ['executeUpdateWithStart', 'startUpdateWithStart'];
const CLIENT = ['schedule'];

function refuse(name: string): never {
  throw new TypeError(`${name} is not in this release of @durably/client; its README lists what is not there yet`);
}

/** Functions whose call says so, where the object has none of that name. Types don't know them: compilers tell first. */
function addMissing(target: object, names: readonly string[], of: string): void {
  for (const name of names) {
    const value = () => refuse(`${of}.${name}`);
    Object.defineProperty(target, name, { value, configurable: true, writable: true });
  }
}

export function addMissingOfHandle(handle: object): void {
  addMissing(handle, HANDLE, 'WorkflowHandle');
}

export function addMissingOfWorkflowClient(prototype: object): void {
  addMissing(prototype, WORKFLOW_CLIENT, 'client.workflow');
}

/** Clients of other things than workflows are properties: whatever is called of them says so. */
export function addMissingOfClient(prototype: object): void {
  for (const name of CLIENT) {
    const get = () => new Proxy({}, { get: (_, method) => (typeof method === 'string' ? () => refuse(`client.${name}.${method}`) : undefined) });
    Object.defineProperty(prototype, name, { get, configurable: true });
  }
}
