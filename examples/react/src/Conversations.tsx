import { useEffect, useState } from "react";
import { agent } from "./agent";

type Props = { current: string; onOpen(chatId: string): void; changes: number; onChange(): void };

export function Conversations({ current, onOpen, changes, onChange }: Props) {
  const [search, setSearch] = useState("");
  const [rows, setRows] = useState<Awaited<ReturnType<typeof agent.sessions>>>([]);
  useEffect(() => {
    let isOver = false;
    agent.sessions({ search }).then((found) => isOver || setRows(found), (why) => isOver || alert(why));
    return () => void (isOver = true);
  }, [search, changes]);

  function rename(sessionId: string, old: string) {
    const title = prompt("Title", old);
    if (title) agent.rename(title, { sessionId }).then(onChange, alert);
  }
  return (
    <nav>
      <button onClick={() => onOpen(crypto.randomUUID())}>New chat</button>
      <input type="search" placeholder="Search" value={search} onChange={(e) => setSearch(e.target.value)} />
      <ul>
        {rows.map(({ session_id: sessionId, chat_id: chatId, title }) =>
          chatId && (
            <li key={sessionId} aria-current={chatId === current}>
              <button className="title" onClick={() => onOpen(chatId)}>{title}</button>
              <button onClick={() => rename(sessionId, title)}>Rename</button>
              <button onClick={() => agent.archive(true, { sessionId }).then(onChange, alert)}>
                Archive
              </button>
            </li>
          )
        )}
      </ul>
    </nav>
  );
}
