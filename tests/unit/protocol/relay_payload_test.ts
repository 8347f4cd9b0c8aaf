import assert from "node:assert/strict";
import {
  encodeRelayPayload,
  MAX_RELAY_PAYLOAD_BYTES,
} from "../../../supabase/functions/_shared/protocol/relay_payload.ts";

Deno.test("a payload may have just as many bytes as are allowed, whatever its characters take", () => {
  for (const character of ["a", "é", "€", "😀"]) {
    const bytes = new TextEncoder().encode(character).length;
    const frame = '{"text":""}'.length;
    const fits = character.repeat(Math.floor((MAX_RELAY_PAYLOAD_BYTES - frame) / bytes));
    assert.equal(encodeRelayPayload({ text: fits }), JSON.stringify({ text: fits }));
    assert.throws(() => encodeRelayPayload({ text: fits + character }), {
      name: "AgentError",
      code: "message_too_large",
      retryable: false,
      message: /^Cannot relay the message: it has 25000\d bytes, and at most 250000 are allowed$/,
    });
  }
});

Deno.test("only an object can be relayed", () => {
  for (const payload of [undefined, null, 1, "text", true, [], [1]]) {
    assert.throws(() => encodeRelayPayload(payload), {
      name: "TypeError",
      message: "Cannot relay the payload: it is not an object",
    });
  }
});
