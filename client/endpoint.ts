/** The server's address, as text: React Native's `URL` has no setters, and its `searchParams` cannot be changed. */

/**
 * The address for a WebSocket: `http:` becomes `ws:`, and a fragment is dropped. Throws if the address is not absolute.
 */
export function endpointOf(url: string | URL): string {
  const [, secure, rest] = /^(?:http|ws)(s?):(\/\/[^/?#\s][^#\s]*)(?:#.*)?$/i.exec(String(url).trim()) ?? [];
  if (rest === undefined) throw new TypeError(`Cannot create client: "${url}" is not an absolute URL`);
  return `ws${secure?.toLowerCase()}:${rest}`;
}

/** The address with these query parameters. They replace those of the same name. */
export function withParameters(endpoint: string, parameters: Readonly<Record<string, string>>): string {
  const [path = "", query = ""] = endpoint.split(/\?(.*)/s);
  const kept = query.split("&").filter((pair) => pair !== "" && !(nameOf(pair) in parameters));
  const added = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `${path}?${[...kept, ...added].join("&")}`;
}

function nameOf(pair: string): string {
  return pair.split("=")[0] ?? "";
}
