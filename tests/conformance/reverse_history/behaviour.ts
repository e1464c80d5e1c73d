/** A history read backwards, in pages, is the history read forwards, turned round. */

import { strict as assert } from 'node:assert';
import type { Env } from '../harness/harness';
import { ticks } from './workflows';

export async function check(env: Env): Promise<void> {
  const handle = await env.start(ticks, 5);
  await handle.result();
  const forwards = (await handle.fetchHistory()).events?.map((event) => Number(event.eventId)) ?? [];
  assert.deepEqual(forwards, forwards.map((_, i) => i + 1));
  const backwards: number[] = [];
  let pages = 0;
  let nextPageToken: Uint8Array | null | undefined;
  do {
    const page = await env.connection.workflowService.getWorkflowExecutionHistoryReverse({
      namespace: env.client.options.namespace,
      execution: { workflowId: handle.workflowId, runId: handle.firstExecutionRunId },
      maximumPageSize: 4,
      nextPageToken,
    });
    backwards.push(...(page.history?.events ?? []).map((event) => Number(event.eventId)));
    pages += 1;
    nextPageToken = page.nextPageToken;
  } while (nextPageToken?.length);
  assert.deepEqual(backwards, forwards.reverse());
  assert(pages > 1, `${pages} pages`);
}
