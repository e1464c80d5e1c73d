/** Finds the payloads in messages, wherever they are: what codecs apply to. */

import { type MessageTable, messageOf, tableOf } from './tables';

const PAYLOAD = 'temporal.api.common.v1.Payload';
/** Values that servers read, so nobody may encrypt them. */
const SEARCH_ATTRIBUTES = 'temporal.api.common.v1.SearchAttributes';

export type PayloadsMapper = (payloads: any[]) => Promise<any[]>;

/** Replaces each payload in the message in place. Lists are mapped as a whole; others one by one. */
export async function mapPayloads(name: string, message: object, map: PayloadsMapper): Promise<void> {
  await visit(tableOf(name), message as Record<string, any>, map);
}

const holders = new Map<string, boolean>();

/** Whether there can be payloads below. */
function holds(table: MessageTable): boolean {
  const known = holders.get(table.name);
  if (known !== undefined) return known;
  // While it is being found out, a type that contains itself adds nothing.
  holders.set(table.name, false);
  const found =
    table.name !== SEARCH_ATTRIBUTES &&
    table.fields.some((field) => field.kind === 'message' && (field.of === PAYLOAD || holds(messageOf(field))));
  holders.set(table.name, found);
  return found;
}

async function visit(table: MessageTable, message: Record<string, any>, map: PayloadsMapper): Promise<void> {
  for (const field of table.fields) {
    if (field.kind !== 'message') continue;
    const value = message[field.name];
    if (value === undefined || value === null) continue;
    if (field.of === PAYLOAD) {
      message[field.name] = await mapValue(field.label, value, map);
    } else if (holds(messageOf(field))) {
      const items = field.label === 'list' ? value : field.label === 'map' ? Object.values(value) : [value];
      for (const item of items) await visit(messageOf(field), item, map);
    }
  }
}

async function mapValue(label: string, value: any, map: PayloadsMapper): Promise<unknown> {
  if (label === 'list') return value.length === 0 ? value : await map(value);
  if (label !== 'map') return (await map([value]))[0];
  const mapped: Record<string, unknown> = {};
  for (const key of Object.keys(value)) mapped[key] = (await map([value[key]]))[0];
  return mapped;
}
