/** Notifications from outside, as `curl` sends them. */

import assert from "node:assert/strict";
import { eventually, type TestStack } from "../support/local_stack.ts";
import { PATIENCE_MS, type PlaygroundPage, withPlayground } from "../support/playground.ts";

/** Sends the `curl` command that the page shows, with another message and its own idempotency key. */
async function push({ url }: TestStack, page: PlaygroundPage, message: unknown, id: string): Promise<void> {
  const curl = await page.page.locator("#curl").textContent() ?? "";
  const [, address = ""] = /^curl (\S+) /.exec(curl) ?? [];
  assert.equal(address, `${url}/functions/v1/notify_websocket`);
  const headers = [...curl.matchAll(/-H "([^:"]+): ([^"]+)"/g)].map((
    [, name = "", value = ""],
  ): [string, string] => [name, value]);
  const body = JSON.parse(/-d '(.+)'/.exec(curl)?.[1] ?? "");
  const response = await fetch(address, {
    method: "POST",
    headers,
    body: JSON.stringify({ ...body, message, id }),
  });
  assert.equal(response.status, 202, await response.text());
}

Deno.test("notifications: one that is pushed from outside pops up, is announced and kept, and is no news after a reload", async () => {
  await withPlayground({}, async ({ page, stack }) => {
    const { page: tab } = page;
    await page.is("open");
    // The notice fades after eight seconds. A busy machine may need longer to check it.
    await tab.evaluate(
      "{ const later = setTimeout; setTimeout = (done, ms) => later(done, ms === 8000 ? 600_000 : ms); }",
    );
    const list = tab.locator("#notices li");
    // A new worker may not have joined the relay yet, so this retries. The id makes all attempts one notification.
    const id = crypto.randomUUID();
    await eventually("the notification", async () => {
      await push(stack, page, "Your report is ready", id);
      return await list.first().waitFor({ timeout: 1000 }).then(() => true, () => false);
    }, PATIENCE_MS);
    assert.equal(await list.count(), 1);
    assert.match(await list.innerText(), /^Your report is ready\n+[\d:]+.*\nkept, no\. 1$/);
    const toast = tab.locator(".toast");
    assert.match(await toast.innerText(), /^Notification\n+Your report is ready\n+Dismiss$/);
    assert.equal(await tab.locator("#announcer").textContent(), "Notification: Your report is ready");
    await toast.getByRole("button", { name: "Dismiss" }).click();
    assert.equal(await toast.count(), 0);
    const alert = { content: "<i>Disk</i> full", code: "disk", type: "status" };
    await push(stack, page, alert, crypto.randomUUID());
    await page.says(list.first().locator("p").first(), "<i>Disk</i> full");
    await page.says(tab.locator("#notices-chip"), "2");

    await tab.reload();
    await page.is("open");
    await page.says(tab.locator("#notices-chip"), "2");
    assert.equal(await toast.count(), 0);
  });
});
