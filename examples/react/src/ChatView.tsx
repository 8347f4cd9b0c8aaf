import { useChat } from "@ai-sdk/react";
import { use, useEffect, useState } from "react";
import { openChat } from "./agent";

export function ChatView({ id, onChange }: { id: string; onChange(): void }) {
  const chat = use(openChat(id));
  const { messages, status, error, sendMessage, regenerate, stop } = useChat({ chat, resume: true });
  const [edited, setEdited] = useState<{ messageId: string; text: string }>();
  const isBusy = status === "submitted" || status === "streaming";
  useEffect(onChange, [status]);

  function submit(form: FormData) {
    void sendMessage({ text: String(form.get("text")), messageId: edited?.messageId });
    setEdited(undefined);
  }
  return (
    <main>
      <ol data-status={status}>
        {messages.map(({ id: messageId, role, parts }) => {
          const text = parts.map((part) => part.type === "text" ? part.text : "").join("");
          return (
            <li key={messageId} className={role}>
              <p>{text}</p>
              {!isBusy && (role === "user"
                ? <button onClick={() => setEdited({ messageId, text })}>Edit</button>
                : <button onClick={() => regenerate({ messageId })}>Regenerate</button>)}
            </li>
          );
        })}
      </ol>
      <p role="alert">{error?.message}</p>
      {!isBusy && messages.at(-1)?.role === "user" && <button onClick={() => regenerate()}>Ask again</button>}
      <form action={submit} key={edited?.messageId}>
        <input name="text" defaultValue={edited?.text} aria-label="Your question" required />
        <button disabled={isBusy}>{edited ? "Save" : "Send"}</button>
        {isBusy && <button type="button" onClick={stop}>Stop</button>}
      </form>
    </main>
  );
}
