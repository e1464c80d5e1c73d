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

/** The JSON text of a history, as other tools of Temporal read it. */
export function historyToJSON(history: History): string {
  return JSON.stringify(toJson(HISTORY, history), undefined, 2);
}
