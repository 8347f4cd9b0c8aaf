import assert from "node:assert/strict";
import { type DeltaSource, SendBuffer } from "../../../supabase/functions/_shared/session/send_buffer.ts";
import { ManualClock } from "../../support/manual_clock.ts";

/** A turn's text that grows, and an encoding that shows its input. */
function growing(name: string): DeltaSource & { text: string } {
  return { text: "", encode: (offset, content) => `${name}@${offset}:${content}` };
}

function behind(): {
  buffer: SendBuffer;
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
  const buffer = new SendBuffer(socket, { clock, maxBufferedBytes: 1_000_000, onOverflow: (): void => {} });
  return {
    buffer,
    sent,
    catchUp(): void {
      socket.bufferedAmount = 0;
      clock.advance(10);
    },
    say(source, text): void {
      const offset = source.text.length;
      source.text += text;
      buffer.sendDelta(source, offset, source.encode(offset, text));
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

Deno.test("[DL4] SendBuffer: what is held of an answer goes with its end", () => {
  const { buffer, sent, catchUp, say } = behind();
  const first = growing("first");
  say(first, "one");
  buffer.dropHeld(first);
  catchUp();
  assert.deepEqual(sent, []);
});
