/** A name chosen by a client, shortened and well-formed so that an error may show it. */
export function quoted(name: string): string {
  return `"${name.slice(0, 64).toWellFormed()}"`;
}
