/** Enums of Temporal's API as strings, with the numbers that go over the wire. */

export type EnumNumbers<Name extends string> = Readonly<Record<Name, number>>;

/** The number of a name, also of one with its prefix as the API has it; an unknown one is a `TypeError` that lists them. */
export function enumNumber<Name extends string>(what: string, numbers: EnumNumbers<Name>, name: Name | undefined): number {
  if (name === undefined) return 0;
  const names = Object.keys(numbers) as Name[];
  const found = names.includes(name) ? name : names.find((one) => String(name).endsWith(`_${one}`));
  if (found === undefined) {
    throw new TypeError(`Invalid ${what} ${JSON.stringify(name)}: expected one of ${names.join(', ')}`);
  }
  return numbers[found];
}

/** The name of a number; undefined for 0 and for numbers of later versions. */
export function enumName<Name extends string>(numbers: EnumNumbers<Name>, number: number | null | undefined): Name | undefined {
  for (const [name, value] of Object.entries(numbers)) if (value === number) return name as Name;
  return undefined;
}
