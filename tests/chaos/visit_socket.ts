/** One WebSocket from its opening to its end. It is abandoned if it goes silent. */

export interface Ended {
  code: number;
}

export interface HoldOptions {
  protocols: string[];
  /** Closes the socket. */
  signal: AbortSignal;
  onText(text: string, send: (text: string) => void): void;
}

/** Heartbeats come every two seconds. Their absence is the only sign of a frozen connection. */
const SILENCE_MS = 6000;
const LOOK_MS = 500;
/** The result for a connection that we abandoned. */
const GIVEN_UP: Ended = { code: -1 };

/** Resolves when it has ended, for any reason. */
export function hold(url: string, { protocols, signal, onText }: HoldOptions): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const socket = new WebSocket(url, protocols);
  let heardAt = performance.now();
  const end = (ended: Ended): void => {
    clearInterval(watch);
    signal.removeEventListener("abort", giveUp);
    socket.onmessage = socket.onclose = null;
    if (socket.readyState < WebSocket.CLOSING) socket.close();
    resolve(ended);
  };
  const giveUp = (): void => end(GIVEN_UP);
  const watch = setInterval(() => {
    if (performance.now() - heardAt > SILENCE_MS) giveUp();
  }, LOOK_MS);
  const send = (text: string): void => {
    if (socket.readyState === WebSocket.OPEN) socket.send(text);
  };
  socket.onmessage = ({ data }) => {
    heardAt = performance.now();
    onText(String(data), send);
  };
  // A close event follows.
  socket.onerror = () => {};
  socket.onclose = ({ code }) => end({ code });
  signal.addEventListener("abort", giveUp);
  if (signal.aborted) giveUp();
  return promise;
}
