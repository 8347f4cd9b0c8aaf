/** The contract of chat ids, replaced queries and the list of conversations, for every implementation of the store. */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { ConversationRange } from "../../supabase/functions/_shared/ports/conversation_store.ts";
import type { SessionOwner, SessionRecord } from "../../supabase/functions/_shared/ports/session_store.ts";
import type { NewLogEvent, QueryEvent } from "../../supabase/functions/_shared/protocol/log_event.ts";
import { cancelled, failure, notification, query, response } from "../support/log_events.ts";
import type { Store, StoresUnderTest } from "../support/stores_under_test.ts";

function user(): SessionOwner & { kind: "user" } {
  return { kind: "user", userId: crypto.randomUUID() };
}

async function open(store: Store, owner?: SessionOwner, chatId?: string): Promise<SessionRecord> {
  const sessionId = crypto.randomUUID();
  const record = {
    sessionId,
    owner: owner ?? user(),
    ...(chatId !== undefined && { chatId }),
    createdAt: 1_735_689_600_123,
  };
  await store.create(record);
  return record;
}

const replacing = (id: string, replaces: string): QueryEvent => ({ ...query(id, `instead ${id}`), replaces });
const seqs = (events: readonly { seq: number }[]): number[] => events.map(({ seq }) => seq);

async function titles(
  store: Store,
  userId: string,
  range: Partial<ConversationRange> = {},
): Promise<string[]> {
  return (await store.list({ userId }, { limit: 100, ...range })).map(({ title }) => title);
}

export function checkConversations(name: string, make: () => StoresUnderTest): void {
  Deno.test(`[CH1] [CH2] ${name}: a chat id is the owner's, and found by the first claim that has it`, async () => {
    const { ann, bob } = make();
    const [me, other] = [user(), user()];
    const token = { kind: "anonymous", tokenHash: crypto.randomUUID() } as const;
    const mine = await open(ann, me, "trip \u{1F600}");
    const theirs = await open(ann, other, "trip \u{1F600}");
    const anonymous = await open(ann, token, "trip \u{1F600}");
    const second = await open(ann, token, "work");
    const found = async (chatId: string, claims: SessionOwner[]): Promise<unknown> =>
      (await bob.findByChat(chatId, claims, { tail: 5 }))?.record;
    assert.deepEqual(await found("trip \u{1F600}", [me]), mine);
    assert.deepEqual(await found("trip \u{1F600}", [other, me]), theirs);
    assert.deepEqual(await found("trip \u{1F600}", [user(), token]), anonymous);
    assert.deepEqual(await found("work", [me, token]), second);
    assert.deepEqual((await bob.find(mine.sessionId, [me], { tail: 1 }))?.record, mine);
    for (const claims of [[], [user()], [{ kind: "anonymous", tokenHash: me.userId } as const]]) {
      assert.equal(await found("trip \u{1F600}", claims), undefined);
    }
    assert.equal(await found("trip", [me, token]), undefined);
    await assert.rejects(open(bob, me, "work").then(() => open(bob, me, "work")), { code: "chat_exists" });
    // An answer that was lost: the same again changes nothing.
    await bob.create(mine);
    await ann.commit(mine.sessionId, { events: [query("1")] });
    await bob.remove(mine.sessionId);
    assert.equal(await found("trip \u{1F600}", [me]), undefined);
    const again = await open(bob, me, "trip \u{1F600}");
    assert.deepEqual(await found("trip \u{1F600}", [me]), again);
    assert.equal((await ann.findByChat("trip \u{1F600}", [me], { tail: 5 }))?.tail.lastSeq, 0);
  });

  Deno.test(`[CH3] ${name}: of workers that make the same chat at once, one makes it`, async () => {
    const { ann, bob } = make();
    const owner = user();
    const made = await Promise.allSettled(
      Array.from({ length: 8 }, (_, n) => open(n % 2 === 0 ? ann : bob, owner, "same")),
    );
    const codes = made.map((one) => one.status === "fulfilled" ? "made" : one.reason.code);
    assert.deepEqual(codes.toSorted(), [...Array(7).fill("chat_exists"), "made"]);
    const winner = made.find((one) => one.status === "fulfilled")?.value;
    assert.deepEqual((await bob.findByChat("same", [owner], { tail: 1 }))?.record, winner);
    assert.equal((await ann.list({ userId: owner.userId }, { limit: 9 })).length, 1);
  });

  Deno.test(`[RW3] [RW5] ${name}: a query that replaces another is appended after its rewound event, or not at all`, async () => {
    const { ann, bob } = make();
    const { sessionId } = await open(ann);
    await ann.commit(sessionId, { events: [query("1"), response("1"), query("2"), response("2")] });
    const done = await bob.commit(sessionId, {
      events: [replacing("3", "2"), replacing("4", "unknown"), notification("n"), replacing("5", "3")],
    });
    assert.deepEqual(
      done.events.map((event) => [event.seq, event.kind, "queryId" in event && event.queryId]),
      [
        [5, "rewound", "3"],
        [6, "query", "3"],
        [7, "notification", false],
        [8, "rewound", "5"],
        [9, "query", "5"],
      ],
    );
    assert.equal(done.lastSeq, 9);
    const [rewound, third] = done.events;
    assert.deepEqual(rewound, {
      kind: "rewound",
      queryId: "3",
      turnId: "t-3",
      replaces: "2",
      fromSeq: 3,
      seq: 5,
      at: third?.at,
    });
    assert.ok(third?.kind === "query" && third.replaces === "2");
    assert.deepEqual((await ann.read(sessionId, { afterSeq: 4, limit: 9 })).events, done.events);
    // Known ids append nothing, whatever they replace.
    const again = await ann.commit(sessionId, { events: [replacing("3", "2"), replacing("1", "2")] });
    assert.deepEqual([seqs(again.events), again.lastSeq], [[6, 1], 9]);
  });

  Deno.test(`[RW1] ${name}: what is superseded is out of sight, what comes before and after it is not`, async () => {
    const { ann, bob } = make();
    const { sessionId, owner } = await open(ann);
    await ann.commit(sessionId, { events: [query("1"), response("1"), query("2"), response("2")] });
    await ann.commit(sessionId, { events: [replacing("3", "2"), response("3"), notification("n")] });
    const visible = async (beforeSeq: number, limit: number): Promise<unknown> => {
      const { events, isFirst } = await bob.readVisible(sessionId, { beforeSeq, limit });
      return [seqs(events), isFirst];
    };
    assert.deepEqual(await visible(100, 100), [[1, 2, 5, 6, 7, 8], true]);
    assert.deepEqual(await visible(100, 3), [[6, 7, 8], false]);
    assert.deepEqual(await visible(6, 2), [[2, 5], false]);
    assert.deepEqual(await visible(5, 2), [[1, 2], true]);
    assert.deepEqual(await visible(1, 2), [[], true]);
    // From a question that was superseded before: from its place on. Rewound events stay, and what is of no turn.
    await bob.commit(sessionId, { events: [replacing("4", "2"), cancelled("4")] });
    assert.deepEqual(await visible(100, 100), [[1, 2, 5, 8, 9, 10, 11], true]);
    await bob.commit(sessionId, { events: [replacing("5", "1")] });
    assert.deepEqual(await visible(100, 100), [[5, 8, 9, 12, 13], true]);
    assert.deepEqual(await visible(13, 100), [[5, 8, 9, 12], true]);
    const found = await ann.find(sessionId, [owner], { tail: 2 });
    assert.deepEqual([seqs(found?.tail.events ?? []), found?.tail.oldestSeq, found?.tail.lastSeq], [
      [12, 13],
      1,
      13,
    ]);
    assert.deepEqual(seqs((await ann.find(sessionId, [owner], { tail: 50 }))?.tail.events ?? []), [
      5,
      8,
      9,
      12,
      13,
    ]);
    // The log itself has everything.
    assert.equal((await ann.read(sessionId, { afterSeq: 0, limit: 50 })).events.length, 13);
    for (const id of [crypto.randomUUID(), "never"]) {
      await assert.rejects(ann.readVisible(id, { beforeSeq: 1, limit: 1 }), { code: "unknown_session" });
    }
  });

  Deno.test(`[RW1] ${name}: what is superseded goes by the question: an older turn's end stays, a later end goes with its turn`, async () => {
    const { ann } = make();
    const { sessionId } = await open(ann);
    await ann.commit(sessionId, {
      events: [query("low"), query("1"), response("1"), query("2"), response("low")],
    });
    await ann.commit(sessionId, { events: [replacing("3", "1"), cancelled("2"), response("3")] });
    const { events, isFirst } = await ann.readVisible(sessionId, { beforeSeq: 100, limit: 100 });
    assert.deepEqual([seqs(events), isFirst], [[1, 5, 6, 7, 9], true]);
  });

  Deno.test(`[RW1] ${name}: any order of questions and replacements shows what no later replacement covers`, async () => {
    const { ann } = make();
    const step = fc.record({ replaces: fc.option(fc.nat({ max: 6 })), isAnswered: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 30 }),
        async (steps, limit) => {
          const { sessionId, owner } = await open(ann);
          // The rule, on the whole log: the seqs that are visible.
          const log: { id: string; kind: string }[] = [];
          let visible: number[] = [];
          const events: NewLogEvent[] = [];
          for (const [n, { replaces, isAnswered }] of steps.entries()) {
            const from = replaces === null
              ? 0
              : log.findIndex(({ id, kind }) => kind === "query" && id === `${replaces}`);
            events.push({ ...query(`${n}`), ...(replaces !== null && { replaces: `${replaces}` }) });
            if (from < 0) continue;
            if (isAnswered) events.push(response(`${n}`));
            if (replaces !== null) {
              visible = visible.filter((seq) => seq <= from || log[seq - 1]?.kind === "rewound");
              visible.push(log.push({ id: `${n}`, kind: "rewound" }));
            }
            visible.push(log.push({ id: `${n}`, kind: "query" }));
            if (isAnswered) visible.push(log.push({ id: `${n}`, kind: "response" }));
          }
          await ann.commit(sessionId, { events });
          const page = await ann.readVisible(sessionId, { beforeSeq: log.length + 1, limit });
          assert.deepEqual(seqs(page.events), visible.slice(-limit));
          assert.equal(page.isFirst, visible.length <= limit);
          const found = await ann.find(sessionId, [owner], { tail: limit });
          assert.deepEqual(found?.tail.events, page.events);
        },
      ),
      { numRuns: 15 },
    );
  });

  Deno.test(`[CV1] ${name}: conversations are listed by their newest message, page by page, and only the user's`, async () => {
    const { ann, bob, advance } = make();
    const owner = user();
    const records: SessionRecord[] = [];
    for (let n = 0; n < 7; n++) {
      records.push(await open(ann, owner, n === 3 ? "mine" : undefined));
      await ann.commit(records[n]?.sessionId ?? "", { events: [query("1", `Question ${n}`)] });
      await advance(1000);
    }
    const idOf = (n: number): string => records[n]?.sessionId ?? "";
    // An answer, and a new question: both count. Notifications and writes without events do not.
    await bob.commit(idOf(2), { events: [response("1", "The answer")] });
    await advance(7_200_000);
    await bob.commit(idOf(4), { events: [query("2", "More?")] });
    await advance(1000);
    await ann.commit(idOf(0), { events: [notification("n")] });
    await ann.commit(idOf(1), { lease: "claim" });
    await open(ann);
    const all = await bob.list({ userId: owner.userId }, { limit: 100 });
    assert.deepEqual(all.map(({ record }) => record.sessionId), [4, 2, 6, 5, 3, 1, 0].map(idOf));
    assert.deepEqual(
      all.map(({ title, preview, isRunning }) => [title, preview, isRunning]).slice(0, 3),
      [["Question 4", "More?", true], ["Question 2", "The answer", false], [
        "Question 6",
        "Question 6",
        true,
      ]],
    );
    assert.deepEqual(all[4]?.record, records[3]);
    assert.ok((all[0]?.lastActivity ?? 0) - (all[1]?.lastActivity ?? 0) >= 7_200_000);
    const paged: unknown[] = [];
    for (let page = await ann.list({ userId: owner.userId }, { limit: 3 }); page.length > 0;) {
      paged.push(...page);
      page = await ann.list({ userId: owner.userId }, {
        limit: 3,
        before: page.at(-1)?.record.sessionId ?? "",
      });
    }
    assert.deepEqual(paged, all);
    assert.deepEqual(await ann.list({ userId: "nobody" }, { limit: 3 }), []);
    assert.deepEqual(await ann.list({ userId: user().userId }, { limit: 3, before: idOf(4) }), []);
    assert.deepEqual(await ann.list({ userId: owner.userId }, { limit: 3, before: "never" }), []);
    assert.deepEqual(await ann.list({ sessionId: idOf(2) }, { limit: 3 }), [all[1]]);
    assert.deepEqual(await ann.list({ sessionId: idOf(2) }, { limit: 3, isArchived: true }), []);
    assert.deepEqual(await ann.list({ sessionId: idOf(2) }, { limit: 3, search: "quest" }), [all[1]]);
    assert.deepEqual(await ann.list({ sessionId: idOf(2) }, { limit: 3, search: "else" }), []);
  });

  Deno.test(`[CV2] ${name}: a title is the first question on one line, until it is renamed; a preview what came last`, async () => {
    const { ann, bob, advance } = make();
    const owner = user();
    const { sessionId } = await open(ann, owner);
    const only = async () => (await bob.list({ userId: owner.userId }, { limit: 2 }))[0];
    assert.deepEqual([(await only())?.title, (await only())?.preview], ["", ""]);
    const long = `  ${"\u{1F600}".repeat(79)} \n\t end`;
    await ann.commit(sessionId, { events: [query("1", long)] });
    assert.equal((await only())?.title, `${"\u{1F600}".repeat(79)}…`);
    assert.equal((await only())?.preview, `${"\u{1F600}".repeat(79)} end`);
    await ann.commit(sessionId, {
      events: [response("1", "x".repeat(5000)), query("2", "other"), failure("2")],
    });
    assert.equal((await only())?.preview, "other");
    await ann.commit(sessionId, { events: [query("3"), cancelled("3", `so\0 far ${"y".repeat(300)}`)] });
    assert.equal((await only())?.preview, `so far ${"y".repeat(192)}…`);
    await bob.suggestTitle(sessionId, " A  model's title ");
    assert.equal((await only())?.title, "A model's title");
    await bob.rename(sessionId, [owner], `Mine${"z".repeat(300)}`);
    assert.equal((await only())?.title, `Mine${"z".repeat(195)}…`);
    await bob.suggestTitle(sessionId, "No longer");
    await ann.commit(sessionId, { events: [query("4", "first?")] });
    assert.equal((await only())?.title, `Mine${"z".repeat(195)}…`);
    await advance(1000);
    // Questions that replace the first one take its place as the title; one that replaces another does not.
    const edited = await open(ann, owner);
    const write = (...events: NewLogEvent[]) => ann.commit(edited.sessionId, { events });
    await write(query("1", "Frist"), response("1"), query("2", "second"));
    await write(replacing("3", "2"), { ...cancelled("2", "so far"), reason: "superseded" });
    assert.deepEqual([(await only())?.title, (await only())?.preview], ["Frist", "instead 3"]);
    await bob.suggestTitle(edited.sessionId, "Of a model");
    await write(replacing("4", "1"));
    assert.deepEqual([(await only())?.title, (await only())?.isTitled], ["instead 4", false]);
    await write(replacing("5", "4"), query("6"));
    assert.equal((await only())?.title, "instead 5");
    await bob.rename(edited.sessionId, [owner], "Named");
    await write(replacing("7", "5"));
    assert.deepEqual([(await only())?.title, (await only())?.isTitled], ["Named", true]);
    await advance(1000);
    const empty = await open(ann, owner);
    await ann.rename(empty.sessionId, [owner], "Before the first question");
    await ann.commit(empty.sessionId, { events: [query("1", "The first question")] });
    assert.equal((await only())?.title, "Before the first question");
    for (const claims of [[], [user()], [{ kind: "anonymous", tokenHash: owner.userId } as const]]) {
      await assert.rejects(ann.rename(sessionId, claims, "stolen"), { code: "unknown_session" });
      await assert.rejects(ann.setArchived(sessionId, claims, true), { code: "unknown_session" });
    }
    for (const id of [crypto.randomUUID(), "never"]) {
      await assert.rejects(ann.rename(id, [owner], "nothing"), { code: "unknown_session" });
      await assert.rejects(ann.setArchived(id, [owner], true), { code: "unknown_session" });
    }
  });

  Deno.test(`[CV3] ${name}: a search finds conversations with all of its words, the last as a beginning`, async () => {
    const { ann, bob, advance } = make();
    const owner = user();
    const asked = [
      ["Wi-Fi in the Café", "and (example.com/path) it's 2.5 \\ 'quoted'"],
      ["Trains to Berlin", "And back to Paris?"],
      ["Поезд в Берлин"],
      [`${"word ".repeat(2000)} hidden`],
    ];
    for (const [n, questions] of asked.entries()) {
      const { sessionId } = await open(ann, owner);
      for (const [index, text] of questions.entries()) {
        await ann.commit(sessionId, {
          events: [query(`${index}`, text), response(`${index}`, `answer${n}`)],
        });
      }
      await advance(1000);
      if (n === 1) await ann.rename(sessionId, [owner], "Summer holidays");
    }
    await open(ann, user()).then(({ sessionId }) =>
      ann.commit(sessionId, { events: [query("1", "Berlin")] })
    );
    const found = (search: string): Promise<string[]> => titles(bob, owner.userId, { search });
    const [wifi = "", trains = "", russian = ""] = [asked[0]?.[0], "Summer holidays", asked[2]?.[0]];
    assert.deepEqual(await found("berl"), [trains]);
    assert.deepEqual(await found("PARIS  train"), [trains]);
    assert.deepEqual(await found("paris trains"), [trains]);
    assert.deepEqual(await found("pari trains"), []);
    assert.deepEqual(await found("holi"), [trains]);
    assert.deepEqual(await found("wi-f"), [wifi]);
    assert.deepEqual(await found("example.co"), [wifi]);
    assert.deepEqual(await found("2.5 path"), [wifi]);
    assert.deepEqual(await found("it's 'quoted'"), [wifi]);
    assert.deepEqual(await found("\\ & ! | :* <->  wi"), [wifi]);
    assert.deepEqual(await found("Берл"), [russian]);
    assert.equal((await found("word")).length, 1);
    for (const search of ["hidden", "answer1", "nothing", "", " ", "?!", "berlin nothing", "\0"]) {
      assert.deepEqual(await found(search), [], search);
    }
    const [newest] = await bob.list({ userId: owner.userId }, { limit: 1, search: "t" });
    assert.equal(newest?.title, trains);
    const rest = await bob.list({ userId: owner.userId }, {
      limit: 5,
      search: "in",
      before: newest?.record.sessionId ?? "",
    });
    assert.deepEqual(rest.map(({ title }) => title), [wifi]);
  });

  Deno.test(`[CV4] ${name}: an archived conversation is in the other list, until it gets a new question`, async () => {
    const { ann, bob, advance } = make();
    const owner = user();
    const [first, second] = [await open(ann, owner), await open(ann, owner)];
    await ann.commit(first.sessionId, { events: [query("1", "Old")] });
    await ann.commit(second.sessionId, { events: [query("1", "New")] });
    await bob.setArchived(first.sessionId, [owner], true);
    const both = async (): Promise<string[][]> => [
      await titles(ann, owner.userId),
      await titles(ann, owner.userId, { isArchived: true }),
    ];
    assert.deepEqual(await both(), [["New"], ["Old"]]);
    assert.deepEqual(
      (await ann.list({ userId: owner.userId }, { limit: 1, isArchived: true }))[0]?.isArchived,
      true,
    );
    assert.deepEqual(await titles(ann, owner.userId, { search: "old" }), []);
    assert.deepEqual(await titles(ann, owner.userId, { search: "old", isArchived: true }), ["Old"]);
    // The end of an answer is no question.
    await ann.commit(first.sessionId, { events: [response("1"), notification("n")] });
    assert.deepEqual(await both(), [["New"], ["Old"]]);
    await bob.setArchived(second.sessionId, [owner], true);
    await bob.setArchived(second.sessionId, [owner], false);
    await advance(1000);
    await ann.commit(first.sessionId, { events: [query("2")] });
    assert.deepEqual(await both(), [["Old", "New"], []]);
  });
}
