/**
 * Our build with coalescing off: nothing is gathered for a tick, and every token is handed on by itself, as if each had
 * come in a read of its own.
 *
 * There is no setting for that, so the two places where text is gathered are put out of action here, before the function
 * is loaded.
 */

import { Turn } from "../../supabase/functions/_shared/agent/turn.ts";
import type { LanguageModel, ModelReply } from "../../supabase/functions/_shared/ports.ts";
import { PacedLane } from "../../supabase/functions/_shared/openrouter/read_pacer.ts";
import { tokenAt } from "../model/script.ts";

// Never fast, never in the pace.
PacedLane.prototype.noteRead = () => {};

const { run } = Turn.prototype;

Turn.prototype.run = function (model, request, onText): ReturnType<typeof run> {
  return run.call(this, tokenByToken(model), request, onText);
};

function tokenByToken(model: LanguageModel): LanguageModel {
  return {
    reply(request, { onText, signal }): Promise<ModelReply> {
      let index = 0;
      return model.reply(request, {
        signal,
        onText(text): void {
          for (let from = 0; from < text.length;) {
            const until = from + tokenAt(index++).length;
            onText(text.slice(from, until));
            from = until;
          }
        },
      });
    },
  };
}

await import("../../supabase/functions/agent_websocket/index.ts");
