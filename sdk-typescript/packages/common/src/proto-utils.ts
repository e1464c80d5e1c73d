/** Histories, and their JSON form: what `temporal workflow show --output json` writes. */

import { fromJson, type temporal, toJson } from '@durably/proto';

const HISTORY = 'temporal.api.history.v1.History';

/** All events of a run. */
export type History = temporal.api.history.v1.IHistory;

/** A history to replay, with the id of its workflow. */
export interface HistoryAndWorkflowId {
  workflowId: string;
  history: History;
}

/** A history from parsed JSON. What isn't one is a `TypeError`. */
export function historyFromJSON(json: unknown): History {
  return fromJson(HISTORY, json) as History;
}

/** A history as a value for `JSON.stringify`. */
export function historyToJSON(history: History): unknown {
  return toJson(HISTORY, history);
}
