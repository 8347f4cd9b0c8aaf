/** `deno task screenshots`: takes the screenshots in docs/images from the page itself. */

// deno-lint-ignore-file no-console -- a command-line tool

import { closeBrowser, type PlaygroundPage, withPlayground } from "./playground.ts";
import { urlOf } from "./source_files.ts";

const FOLDER = urlOf("docs/images/");
const SIZE = { width: 1280, height: 800 };
/** Images stay in the repository's history for ever, so they must be small. */
const MAX_BYTES = 150_000;

async function take({ page }: PlaygroundPage, name: string): Promise<void> {
  // WebP, because PNG would be three times as large.
  const debug = await page.context().newCDPSession(page);
  const { data } = await debug.send("Page.captureScreenshot", { format: "webp", quality: 85 });
  const picture = Uint8Array.fromBase64(data);
  if (picture.length > MAX_BYTES) throw new Error(`Cannot keep ${name}: it has ${picture.length} bytes`);
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeFile(new URL(`${name}.webp`, FOLDER), picture);
  console.log(`docs/images/${name}.webp: ${picture.length} bytes`);
}

const options = { model: "mock", lite: true, context: { viewport: SIZE } } as const;
await withPlayground(options, async ({ page, stack }) => {
  const { page: tab } = page;
  await page.is("open");
  await page.isWatching();
  await page.until(await page.ask("Hello"), "completed");
  const helped = await page.ask("What can you do?");
  await page.until(helped, "completed");
  await helped.getByRole("button", { name: "Good answer" }).click();
  const id = /"session_id":"([^"]+)"/.exec(await tab.locator("#curl").textContent() ?? "")?.[1];
  const body = JSON.stringify({ session_id: id, message: "Your report is ready", source: "reports" });
  const headers = { apikey: stack.keys.secretKey, "content-type": "application/json" };
  await (await fetch(`${stack.url}/functions/v1/notify_websocket`, { method: "POST", headers, body })).text();
  await tab.locator(".toast").getByRole("button").click();
  const story = await page.ask("Tell me a long story");
  await page.until(await page.ask("What did I say before?"), "queued");
  await page.says(page.textOf(story), /careful line/);
  await tab.emulateMedia({ colorScheme: "light" });
  await take(page, "playground_light");
  await page.screenshot("readme-light");

  await tab.getByRole("button", { name: "Cut my connection" }).click();
  await page.is("reconnecting");
  await page.is("open");
  await page.says(story.locator(".seam"), /caught up/);
  await page.says(page.textOf(story), /How did you know/);
  await tab.emulateMedia({ colorScheme: "dark" });
  await take(page, "playground_dark");
  await page.screenshot("readme-dark");
});
await closeBrowser();
