import assert from "node:assert/strict";
import { type DeltaSource, SendBuffer } from "../../../supabase/functions/_shared/session/send_buffer.ts";
import { ManualClock } from "../../support/manual_clock.ts";

/** A turn's text that grows, and an encoding that shows its input. */
function growing(
  name: string,
  kind: DeltaSource["kind"] = "delta",
): DeltaSource & { text: string } {
  return { kind, ref: 1, text: "", encode: (_form, offset, content) => `${name}@${offset}:${content}` };
}

function behind(maxBufferedBytes = 1_000_000): {
  buffer: SendBuffer;
  sent: string[];
  isOver(): boolean;
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
  let isOver = false;
  const buffer = new SendBuffer(socket, { clock, maxBufferedBytes, onOverflow: () => void (isOver = true) });
  return {
    isOver: () => isOver,
    buffer,
    sent,
    catchUp(): void {
      socket.bufferedAmount = 0;
      clock.advance(10);
    },
    say(source, text): void {
      const offset = source.text.length;
      source.text += text;
      buffer.sendDelta(source, offset, source.encode("plain", offset, text));
    },
  };
}

Deno.test("[DL2] [DL4] SendBuffer: what is held of an answer is not lost by the end of another", () => {
  const { buffer, sent, catchUp, say } = behind();
  const [first, second] = [growing("first"), growing("second")];
  say(first, "one");
  say(second, "two ");
  buffer.dropHeld(first);
  say(second, "three");
  catchUp();
  say(second, " four");
  assert.deepEqual(sent, ["second@0:two three", "second@9: four"]);
});

Deno.test("[DL2] [TO5] SendBuffer: an answer that begins anew while it is held is sent from there", () => {
  const { buffer, sent, catchUp, say } = behind();
  const first = growing("first");
  first.text = "one two ";
  say(first, "three");
  first.text = "";
  say(first, "uno");
  buffer.dropHeld(growing("another"));
  catchUp();
  assert.deepEqual(sent, ["first@0:uno"]);
});

Deno.test("[RE4] SendBuffer: held reasoning and the held text of its answer do not replace each other", () => {
  const { buffer, sent, catchUp, say } = behind();
  const [text, thoughts] = [growing("text"), growing("thoughts", "reasoning")];
  say(text, "one ");
  say(thoughts, "Hm. ");
  say(text, "two");
  say(thoughts, "So.");
  catchUp();
  assert.deepEqual(sent, ["thoughts@0:Hm. So.", "text@0:one two"]);
  sent.length = 0;
  const slow = behind();
  slow.say(text, " three");
  slow.say(thoughts, " Then.");
  slow.buffer.dropHeld(text);
  slow.catchUp();
  assert.deepEqual(slow.sent, ["thoughts@7: Then."]);
  buffer.close();
});

Deno.test("[RE4] SendBuffer: of held reasoning whose turn does not run any more nothing is sent", () => {
  const { sent, catchUp, say } = behind();
  const thoughts = growing("thoughts", "reasoning");
  thoughts.text = "Hm. ";
  say(thoughts, "So.");
  thoughts.text = "";
  catchUp();
  assert.deepEqual(sent, []);
});

Deno.test("[RE4] [LM4] SendBuffer: held reasoning and held text count together", () => {
  const { say, isOver } = behind(25_000);
  say(growing("text"), "x".repeat(3000));
  assert.equal(isOver(), false);
  say(growing("thoughts", "reasoning"), "x".repeat(2001));
  assert.equal(isOver(), true);
});

Deno.test("[DL4] SendBuffer: what is held of an answer goes with its end", () => {
  const { buffer, sent, catchUp, say } = behind();
  const first = growing("first");
  say(first, "one");
  buffer.dropHeld(first);
  catchUp();
  assert.deepEqual(sent, []);
});
