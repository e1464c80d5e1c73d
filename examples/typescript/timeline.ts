/** A workflow's history as a timeline that a person can read. */

import type { WorkflowHandle } from '@durably/client';

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;
type Event = NonNullable<History['events']>[number];
type Payloads = NonNullable<Event['workflowExecutionStartedEventAttributes']>['input'];
type Duration = NonNullable<Event['timerStartedEventAttributes']>['startToFireTimeout'];

/** One line per event that means something to a reader; the bookkeeping of workflow tasks is left out. */
export function timeline(history: History): string[] {
  const lines: string[] = [];
  const names = new Map<number, string>();
  let start: number | undefined;
  let worker: string | undefined;
  for (const event of history.events ?? []) {
    const at = seconds(event.eventTime);
    start ??= at;
    let text = describe(event, names);
    const identity = event.workflowTaskStartedEventAttributes?.identity;
    if (identity) {
      if (worker !== undefined && identity !== worker) {
        text = `goes on in another process (${identity})`;
      }
      worker = identity;
    }
    if (text) {
      lines.push(`${String(event.eventId).padStart(4)}  ${(at - start).toFixed(3).padStart(8)} s  ${text}`);
    }
  }
  return lines;
}

/** What the event says, or nothing. `names` remembers activities by the event that scheduled them. */
function describe(event: Event, names: Map<number, string>): string | undefined {
  const name = (of: { scheduledEventId?: unknown }) => names.get(Number(of.scheduledEventId));
  if (event.workflowExecutionStartedEventAttributes) {
    return `order arrives: ${values(event.workflowExecutionStartedEventAttributes.input).slice(0, 90)} …`;
  }
  if (event.activityTaskScheduledEventAttributes) {
    names.set(Number(event.eventId), event.activityTaskScheduledEventAttributes.activityType?.name ?? '');
    return undefined;
  }
  if (event.activityTaskStartedEventAttributes) {
    const { attempt, lastFailure } = event.activityTaskStartedEventAttributes;
    const again = `${name(event.activityTaskStartedEventAttributes)}: attempt ${attempt}`;
    return (attempt ?? 1) > 1 ? `${again}, because: ${lastFailure?.message ?? 'unknown'}` : undefined;
  }
  if (event.activityTaskCompletedEventAttributes) {
    const { result } = event.activityTaskCompletedEventAttributes;
    return `${name(event.activityTaskCompletedEventAttributes)}: done ${values(result)}`.trimEnd();
  }
  if (event.activityTaskFailedEventAttributes) {
    const { failure } = event.activityTaskFailedEventAttributes;
    return `${name(event.activityTaskFailedEventAttributes)}: failed for good: ${failure?.message}`;
  }
  if (event.activityTaskTimedOutEventAttributes) {
    return `${name(event.activityTaskTimedOutEventAttributes)}: timed out`;
  }
  if (event.timerStartedEventAttributes) {
    return `timer set: ${seconds(event.timerStartedEventAttributes.startToFireTimeout)} s`;
  }
  if (event.timerFiredEventAttributes) {
    return 'timer fires';
  }
  if (event.timerCanceledEventAttributes) {
    return 'timer not needed any more';
  }
  if (event.workflowExecutionSignaledEventAttributes) {
    const { signalName, input } = event.workflowExecutionSignaledEventAttributes;
    return `signal ${signalName} ${values(input)}`;
  }
  if (event.workflowExecutionCompletedEventAttributes) {
    return `order closed: ${values(event.workflowExecutionCompletedEventAttributes.result)}`;
  }
  if (event.workflowExecutionFailedEventAttributes) {
    return `workflow failed: ${event.workflowExecutionFailedEventAttributes.failure?.message}`;
  }
  return undefined;
}

/** A time or a length of time in seconds. */
function seconds(time: Duration): number {
  return Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
}

/** JSON payloads as they are. */
function values(payloads: Payloads): string {
  return (payloads?.payloads ?? []).map((payload) => Buffer.from(payload.data ?? []).toString()).join(' ');
}
