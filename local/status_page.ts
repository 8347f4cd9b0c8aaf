/** The page at `/`: what runs where. */

export interface StatusPageOptions {
  url: string;
  /** Names of the functions. */
  functions: readonly string[];
  /** Which model answers, in words. */
  model: string;
  authMode: string;
  publishableKey: string;
  /** Whether `/auth/v1` and `/rest/v1` are served. */
  lite: boolean;
}

export function renderStatusPage(options: StatusPageOptions): string {
  const { url, functions, model, authMode, publishableKey, lite } = options;
  const base = `${url}/functions/v1`;
  const rows = [
    ...functions.map((name) => [`Function ${name}`, link(`${base}/${name}/health`)] as const),
    ...(lite ? [["Auth", code(`${url}/auth/v1`)], ["REST", code(`${url}/rest/v1`)]] as const : []),
    ["Signing keys", link(`${url}/auth/v1/.well-known/jwks.json`)] as const,
    ["Model", escapeHtml(model)] as const,
    ["AUTH_MODE", code(authMode)] as const,
    ["Publishable key", code(publishableKey)] as const,
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Agent WebSocket: local stack</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 3rem auto; padding: 0 1rem; }
  th { text-align: left; padding-right: 2rem; font-weight: 600; vertical-align: top; }
  td { overflow-wrap: anywhere; }
  pre { background: #8882; padding: 0.75rem 1rem; overflow-x: auto; }
  :root { color-scheme: light dark; }
</style>
<h1>Agent WebSocket</h1>
<p>The local stack is running. Talk to the agent from a terminal:</p>
<pre>${escapeHtml(wscatLine(url))}</pre>
<table>
${rows.map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${value}</td></tr>`).join("\n")}
</table>
</html>
`;
}

/** What to paste into a terminal. */
export function wscatLine(url: string): string {
  return `npx -y wscat -c "${url.replace(/^http/, "ws")}/functions/v1/agent_websocket?stream=true"`;
}

function link(url: string): string {
  return `<a href="${escapeHtml(url)}">${escapeHtml(url)}</a>`;
}

function code(text: string): string {
  return `<code>${escapeHtml(text)}</code>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
