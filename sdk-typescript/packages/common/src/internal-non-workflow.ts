/**
 * Data converters outside of workflows: their modules are loaded, and their codecs applied.
 *
 * Inside of workflows, the converters are part of the bundle, and codecs run before and after.
 */

import { mapPayloads, type temporal } from '@durably/proto';
import {
  type DataConverter,
  type LoadedDataConverter,
  decodePayloads,
  defaultDataConverter,
  encodePayloads,
  requiredExport,
} from './converter/data-converter';
import { type Payload, mapFromPayloads, mapToPayloads, toPayloads } from './converter/payload-converter';
import type { ProtoFailure } from './failure';

const FAILURE = 'temporal.api.failure.v1.Failure';

export function isLoadedDataConverter(converter: unknown): converter is LoadedDataConverter {
  return typeof converter === 'object' && converter !== null && 'payloadConverter' in converter;
}

/** Loads the converter's modules. A module without the export that is expected of it is a `ValueError`. */
export function loadDataConverter(converter: DataConverter | LoadedDataConverter = {}): LoadedDataConverter {
  if (isLoadedDataConverter(converter)) return converter;
  const { payloadConverterPath: payload, failureConverterPath: failure, payloadCodecs = [] } = converter;
  return {
    payloadConverter:
      payload === undefined
        ? defaultDataConverter.payloadConverter
        : requiredExport(require(payload), payload, 'payloadConverter', ['toPayload', 'fromPayload']),
    failureConverter:
      failure === undefined
        ? defaultDataConverter.failureConverter
        : requiredExport(require(failure), failure, 'failureConverter', ['errorToFailure', 'failureToError']),
    payloadCodecs,
  };
}

/** Payloads of values; undefined if there are no values. */
export async function encodeToPayloads(
  { payloadConverter, payloadCodecs }: LoadedDataConverter,
  ...values: unknown[]
): Promise<Payload[] | undefined> {
  const payloads = toPayloads(payloadConverter, ...values);
  return payloads && encodePayloads(payloadCodecs, payloads);
}

/** Values of payloads; none for an absent list. */
export async function decodeArrayFromPayloads(
  { payloadConverter, payloadCodecs }: LoadedDataConverter,
  payloads: Payload[] | null | undefined,
): Promise<unknown[]> {
  if (!payloads || payloads.length === 0) return [];
  const decoded = await decodePayloads(payloadCodecs, [...payloads]);
  return decoded.map((payload) => payloadConverter.fromPayload(payload));
}

/** The value at the index; undefined if there are fewer. */
export async function decodeFromPayloadsAtIndex<T>(
  converter: LoadedDataConverter,
  index: number,
  payloads: Payload[] | null | undefined,
): Promise<T> {
  const payload = payloads?.[index];
  return (payload && (await decodeArrayFromPayloads(converter, [payload]))[0]) as T;
}

/** The value of a payload; undefined if there is none. */
export async function decodeOptionalSinglePayload<T>(
  converter: LoadedDataConverter,
  payload: Payload | null | undefined,
): Promise<T | undefined> {
  return decodeFromPayloadsAtIndex<T>(converter, 0, payload ? [payload] : []);
}

export async function encodeMapToPayloads(
  { payloadConverter, payloadCodecs }: LoadedDataConverter,
  map: Record<string, unknown>,
): Promise<Record<string, Payload>> {
  return eachOf(mapToPayloads(payloadConverter, map), (payloads) => encodePayloads(payloadCodecs, payloads));
}

export async function decodeMapFromPayloads(
  { payloadConverter, payloadCodecs }: LoadedDataConverter,
  map: Record<string, Payload> | null | undefined,
): Promise<Record<string, unknown> | undefined> {
  if (!map) return undefined;
  return mapFromPayloads(payloadConverter, await eachOf(map, (payloads) => decodePayloads(payloadCodecs, payloads)));
}

async function eachOf(
  map: Record<string, Payload>,
  change: (payloads: Payload[]) => Promise<Payload[]>,
): Promise<Record<string, Payload>> {
  const changed: Record<string, Payload> = {};
  for (const [key, payload] of Object.entries(map)) changed[key] = (await change([payload]))[0]!;
  return changed;
}

export async function encodeErrorToFailure(
  { failureConverter, payloadConverter, payloadCodecs }: LoadedDataConverter,
  error: unknown,
): Promise<ProtoFailure> {
  const failure = failureConverter.errorToFailure(error, payloadConverter);
  if (payloadCodecs.length > 0) {
    await mapPayloads(FAILURE, failure, (payloads) => encodePayloads(payloadCodecs, payloads));
  }
  return failure;
}

export async function decodeOptionalFailureToOptionalError(
  { failureConverter, payloadConverter, payloadCodecs }: LoadedDataConverter,
  failure: ProtoFailure | null | undefined,
): Promise<Error | undefined> {
  if (!failure) return undefined;
  if (payloadCodecs.length > 0) {
    await mapPayloads(FAILURE, failure, (payloads) => decodePayloads(payloadCodecs, payloads));
  }
  return failureConverter.failureToError(failure, payloadConverter);
}

/** What tools show with a workflow, a timer or an activity. */
export async function encodeUserMetadata(
  converter: LoadedDataConverter,
  summary: string | undefined,
  details: string | undefined,
): Promise<temporal.api.sdk.v1.IUserMetadata | undefined> {
  if (summary === undefined && details === undefined) return undefined;
  const encode = async (text: string | undefined) =>
    text === undefined ? undefined : (await encodeToPayloads(converter, text))?.[0];
  return { summary: await encode(summary), details: await encode(details) };
}
