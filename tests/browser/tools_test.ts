/** Tool calls on the page: what they are called with, what came of them, and the decisions about them. */

import assert from "node:assert/strict";
import { findings } from "../support/axe.ts";
import { HandModel } from "../support/hand_model.ts";
import { type PlaygroundPage, withPlayground } from "../support/playground.ts";
import { PageServer } from "../support/page_server.ts";
import { ToolFrames } from "../support/tool_frames.ts";

Deno.test("tools: calls are shown as text, approved, rejected and changed on the page", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    const server = await PageServer.of(page);
    const turn = await page.ask("Refund order 1001");
    const frames = new ToolFrames(await server.asked());
    const cards = turn.locator(".call");
    const says = (place: number, words: string): Promise<void> =>
      page.says(cards.nth(place).locator(".chip"), words);
    server.say(frames.thinking());
    server.say(
      frames.call("find_orders", { input: { text: "<img src=x onerror=alert(1)>" }, text: "Let me look." }),
    );
    server.say(frames.call("refund_order", { place: 1, needs: "approval", input: { amount: 25 } }));
    server.say(frames.call("close_order", { place: 2, needs: "approval", input: { id: 1 } }));
    server.say(frames.call("pick_date", { place: 3, needs: "client" }));
    server.say(frames.requested("refund_order", { amount: 25 }, 1));
    server.say(frames.requested("close_order", { id: 1 }, 2));
    server.say(frames.started("find_orders"));
    server.say(frames.result("find_orders", "<b>two</b> orders"));
    await says(0, "done");
    await says(3, "waits for an app that has this tool");
    assert.equal(await cards.nth(0).getByLabel("Result").textContent(), "<b>two</b> orders");
    assert.equal(await cards.nth(0).locator("form").isVisible(), false, "it needs no decision");
    assert.equal(await cards.nth(0).locator("img, pre b").count(), 0, "no markup");
    assert.deepEqual(await findings(page), []);
    await checkRefund({ page, server, frames });

    // Another one is rejected, with a comment.
    const other = cards.nth(2);
    await other.getByLabel("If you reject it").fill("Not yet");
    await other.getByRole("button", { name: "Reject" }).click();
    const rejected = await server.next("human_feedback");
    assert.deepEqual([rejected.verdict, rejected.content, rejected.approval_id], [
      "reject",
      "Not yet",
      frames.callId(2),
    ]);
    server.error("already_decided", rejected.id);
    await page.says(other.locator(".problem"), /already_decided/);
    server.say(frames.decided("reject", { comment: "Not yet" }, 2));
    await says(2, "rejected");

    await page.screenshot("tools");
    server.say(frames.result("pick_date", '"2026-12-01"', "ok", 3));
    server.say(frames.response("Let me look.\n\nDone."));
    await page.until(turn, "completed");
    assert.equal(await page.textOf(turn).locator("p").count(), 2, "its text is two paragraphs");
    await says(3, "done");
  });
});

/** The input is edited: no JSON, then another amount, which the tool takes. */
async function checkRefund(
  { page, server, frames }: { page: PlaygroundPage; server: PageServer; frames: ToolFrames },
): Promise<void> {
  const card = page.turns.nth(0).locator(".call").nth(1);
  const input = card.getByLabel("Input (JSON)");
  assert.equal(await input.inputValue(), '{\n  "amount": 25\n}');
  await input.fill("{");
  await card.getByRole("button", { name: "Approve" }).click();
  await page.says(card.locator(".problem"), /^The input is not JSON/);
  await input.fill('{"amount": 10}');
  await card.getByRole("button", { name: "Approve" }).click();
  const changed = await server.next("human_feedback");
  assert.deepEqual([changed.verdict, changed.input, changed.approval_id], [
    "modify",
    { amount: 10 },
    frames.callId(1),
  ]);
  server.say(frames.decided("modify", { input: { amount: 10 } }, 1));
  server.status("decision_received", changed.id);
  server.say(frames.started("refund_order", 1));
  await page.says(card.locator(".chip"), "running");
  assert.equal(await card.getByLabel("Input", { exact: true }).textContent(), '{\n  "amount": 10\n}');
  server.say(frames.result("refund_order", "refunded", "ok", 1));
  await page.says(card.locator(".chip"), "done");
}
