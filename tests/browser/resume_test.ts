/** Cut, offline, reloaded, in two tabs, or with its worker killed: the answer appears once, complete. */

import assert from "node:assert/strict";
import { HandModel } from "../support/hand_model.ts";
import { withPlayground } from "../support/playground.ts";

Deno.test("resume: a connection that is cut in mid-answer comes back by itself, and the page shows what it caught up with", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    const { page: tab } = page;
    await page.is("open");
    const turn = await page.ask("Tell me");
    const answer = await model.next();
    answer.say("before the cut, ");
    await page.says(page.textOf(turn), /before the cut/);
    await tab.getByRole("button", { name: "Cut my connection" }).click();
    await page.is("reconnecting");
    await page.says(page.verdict, "The connection was lost (1006). Reconnecting…");
    answer.say("while away, ");
    await page.is("open");
    await page.says(page.verdict, /^Resumed after \d+\.\d s: no event was missed, nothing is lost\.$/);
    await page.says(page.textOf(turn), /^before the cut, while away,/);
    await page.says(
      turn.locator(".seam"),
      /^Cut at character 16, back after \d+\.\d s, 12 characters caught up: none missing$/,
    );
    answer.say("after it.");
    answer.finish();
    await page.until(turn, "completed");
    assert.equal(await page.textOf(turn).textContent(), "before the cut, while away, after it.");
    assert.equal(model.exchanges.length, 1);
  });
});

Deno.test("resume: offline the page waits, and is back soon after the network is", async () => {
  await using model = new HandModel();
  const options = { model: { baseUrl: model.baseUrl }, mayComplain: /ERR_INTERNET_DISCONNECTED/ };
  await withPlayground(options, async ({ page }) => {
    const { page: tab } = page;
    await page.is("open");
    const turn = await page.ask("Tell me");
    const answer = await model.next();
    answer.say("online, ");
    await page.says(page.textOf(turn), /online/);
    await tab.context().setOffline(true);
    await tab.getByRole("button", { name: "Cut my connection" }).click();
    await page.is("reconnecting");
    answer.say("offline, ");
    answer.finish();
    // Sent while offline: it goes out later.
    const later = await page.ask("And then?");
    assert.equal(await later.getAttribute("data-state"), "waiting");
    await tab.context().setOffline(false);
    await page.is("open");
    await page.until(turn, "completed");
    assert.equal(await page.textOf(turn).textContent(), "online, offline, ");
    await page.says(page.verdict, /^Resumed after \d+\.\d s: event 2 was replayed, nothing is lost\.$/);
    const second = await model.next();
    second.say("Then this");
    second.finish();
    await page.until(later, "completed");
    assert.equal(model.exchanges.length, 2);
  });
});

Deno.test("resume: a page that is loaded anew in mid-answer has the conversation, in order, and the rest of the answer", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page }) => {
    await page.is("open");
    const first = await page.ask("One");
    const one = await model.next();
    one.say("first answer");
    one.finish();
    await page.until(first, "completed");
    const second = await page.ask("Two");
    const two = await model.next();
    two.say("half an ");
    await page.says(page.textOf(second), /half an/);
    const third = await page.ask("Three");
    await page.until(third, "queued");
    await page.page.reload();
    await page.says(page.textOf(second), /^half an/);
    await page.says(page.verdict, /^Session restored: events 1 to 4 were replayed, nothing is lost\.$/);
    two.say("answer");
    two.finish();
    await page.until(second, "completed");
    const three = await model.next();
    three.say("third answer");
    three.finish();
    await page.until(third, "completed");
    assert.deepEqual(await page.turns.locator(".question").allTextContents(), ["One", "Two", "Three"]);
    assert.deepEqual(await page.turns.locator(".text").allTextContents(), [
      "first answer",
      "half an answer",
      "third answer",
    ]);
    assert.equal(model.exchanges.length, 3);
  });
});

Deno.test("resume: two tabs on one session see the same, in the same order, whoever asks", async () => {
  await using model = new HandModel();
  await withPlayground({ model: { baseUrl: model.baseUrl } }, async ({ page, open, stack }) => {
    await page.is("open");
    const asked = await page.ask("From the left");
    const left = await model.next();
    left.say("to both ");
    await page.says(page.textOf(asked), /to both/);
    const link = page.page.getByRole("link", { name: "Open in another tab" });
    const other = await open({ beside: page, url: `${stack.url}${await link.getAttribute("href")}` });
    await other.is("open");
    assert.equal(new URL(other.page.url()).hash, "");
    await other.says(other.textOf(other.turns.first()), /^to both/);
    const mine = await other.ask("From the right");
    await page.says(page.turns.nth(1).locator(".question"), "From the rightfrom another tab");
    left.say("of you");
    left.finish();
    const right = await model.next();
    right.say("said once");
    right.finish();
    await other.until(mine, "completed");
    await page.until(page.turns.nth(1), "completed");
    for (const tab of [page, other]) {
      await tab.until(tab.turns.first(), "completed");
      assert.deepEqual(await tab.turns.locator(".text").allTextContents(), ["to both of you", "said once"]);
    }
    // Each tab may stop a turn that the other one started.
    const stopped = await page.ask("Never mind");
    await other.until(other.turns.nth(2), "running");
    await other.page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.until(stopped, "cancelled");
  });
});

Deno.test("resume: an answer outlives its worker, in plain sight", async () => {
  await using model = new HandModel();
  const options = { model: { baseUrl: model.baseUrl }, lite: true, workers: { agent_websocket: 2 } };
  await withPlayground(options, async ({ page, stack }) => {
    await page.is("open");
    await page.says(page.page.locator("#connection-session"), /durable/);
    const turn = await page.ask("Live long");
    const first = await model.next();
    first.say("Written by one worker, ");
    await page.says(page.textOf(turn), /one worker/);
    const holder = stack.workers().filter(({ function: name }) => name === "agent_websocket");
    assert.equal(holder.length, 2);
    // Either worker may hold the session, so both are killed, one after the other.
    for (const { worker } of holder) stack.disturb("agent_websocket", "kill", { number: worker });
    await page.is("reconnecting");
    await page.is("open");
    const second = await model.next();
    second.say("and by another.");
    second.finish();
    await page.until(turn, "completed");
    assert.match(await page.textOf(turn).textContent() ?? "", /and by another\.$/);
    assert.equal(await page.turns.count(), 1);
  });
});
