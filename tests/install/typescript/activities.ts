/** The activities of the README of the TypeScript SDK. */

// snippet: activities
export async function greet(name: string): Promise<string> {
  return `Hello, ${name}!`;
}
// end snippet
