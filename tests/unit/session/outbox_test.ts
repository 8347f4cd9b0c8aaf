import assert from "node:assert/strict";
import { type DeltaSource, Outbox } from "../../../supabase/functions/_shared/session/outbox.ts";
import { ManualClock } from "../../support/manual_clock.ts";

/** A turn's text that grows, and an encoding that shows what it is given. */
function growing(name: string): DeltaSource & { text: string } {
  return { text: "", encode: (offset, content) => `${name}@${offset}:${content}` };
}

function behind(): {
  outbox: Outbox;
  sent: string[];
  catchUp(): void;
  say(source: DeltaSource & { text: string }, text: string): void;
} {
  const clock = new ManualClock();
  const sent: string[] = [];
  const socket = {
    bufferedAmount: 20_000,
    send: (text: string): void => void sent.push(text),
    close: (): void => {},
  };
  const outbox = new Outbox(socket, { clock, maxBufferedBytes: 1_000_000, onOverflow: (): void => {} });
  return {
    outbox,
    sent,
    catchUp(): void {
      socket.bufferedAmount = 0;
      clock.advance(10);
    },
    say(source, text): void {
      const offset = source.text.length;
      source.text += text;
      outbox.sendDelta(source, offset, source.encode(offset, text));
    },
  };
}

Deno.test("[DL2] [DL4] Outbox: what is held of an answer is not lost by the end of another", () => {
  const { outbox, sent, catchUp, say } = behind();
  const [first, second] = [growing("first"), growing("second")];
  say(first, "one");
  say(second, "two ");
  outbox.dropHeld(first);
  say(second, "three");
  catchUp();
  say(second, " four");
  assert.deepEqual(sent, ["second@0:two three", "second@9: four"]);
});

Deno.test("[DL2] [TO5] Outbox: an answer that begins anew while it is held is sent from there", () => {
  const { outbox, sent, catchUp, say } = behind();
  const first = growing("first");
  first.text = "one two ";
  say(first, "three");
  first.text = "";
  say(first, "uno");
  outbox.dropHeld(growing("another"));
  catchUp();
  assert.deepEqual(sent, ["first@0:uno"]);
});

Deno.test("[DL4] Outbox: what is held of an answer goes with its end", () => {
  const { outbox, sent, catchUp, say } = behind();
  const first = growing("first");
  say(first, "one");
  outbox.dropHeld(first);
  catchUp();
  assert.deepEqual(sent, []);
});
