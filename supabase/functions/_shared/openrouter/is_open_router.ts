/** Whether the endpoint is OpenRouter itself, and has what only OpenRouter has. */

/** `dialect`: what the operator says it speaks; `auto` goes by the host. */
export function isOpenRouter(baseUrl: string, dialect = "auto"): boolean {
  if (dialect !== "auto") return dialect === "openrouter";
  const { hostname } = new URL(baseUrl);
  return hostname === "openrouter.ai" || hostname.endsWith(".openrouter.ai");
}
