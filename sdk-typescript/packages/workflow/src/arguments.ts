/** The arguments of what a workflow calls. */

import { type Payload, type PayloadConverter, toPayloads } from '@durably/common';
import { about } from '@durably/common/lib/converter/payload-converter';

/** The payloads of arguments. An error says of what, and which, could not be converted. */
export function argumentsOf(what: string, args: unknown[], converter: PayloadConverter): Payload[] | undefined {
  try {
    return toPayloads(converter, ...args);
  } catch (error) {
    throw about(what, error);
  }
}
