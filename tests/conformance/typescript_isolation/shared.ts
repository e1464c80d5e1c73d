/** A module that the workflows import: its state belongs to one run, as theirs does. */

export const shared = { items: [] as string[] };

export function bump(name: string): void {
  shared.items.push(name);
}
