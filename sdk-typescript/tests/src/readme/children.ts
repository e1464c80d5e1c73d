/** The children of the README. */

// snippet: children
import { ApplicationFailure, condition, defineSignal, executeChild, setHandler, startChild } from '@durably/workflow';

export const packed = defineSignal('packed');

export async function parcel(order: string): Promise<string> {
  let isPacked = false;
  setHandler(packed, () => void (isPacked = true));
  await condition(() => isPacked);
  return `${order} is on its way`;
}

export async function invoice(order: string, amount: number): Promise<string> {
  if (amount <= 0) throw ApplicationFailure.nonRetryable(`${amount} is no amount`);
  return `${order}: ${amount}`;
}

/** Starts a parcel, which has to be told; awaits all invoices, also those that fail; tells the parcel. */
export async function ship(order: string, amounts: number[]): Promise<string> {
  const sending = await startChild(parcel, { args: [order], workflowId: `parcel-${order}` });
  const invoices = amounts.map((amount, number) =>
    executeChild(invoice, { args: [order, amount], workflowId: `invoice-${order}-${number}` }),
  );
  const ended = await Promise.allSettled(invoices);
  await sending.signal(packed);
  const failed = ended.filter(({ status }) => status === 'rejected').length;
  return `${await sending.result()}, ${failed} of ${ended.length} invoices failed`;
}
// end snippet
