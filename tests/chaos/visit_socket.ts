/** One WebSocket from its opening to its end, given up where it has gone silent. */

export interface Ended {
  code: number;
}

export interface HoldOptions {
  protocols: string[];
  /** Closes it. */
  signal: AbortSignal;
  onText(text: string, send: (text: string) => void): void;
}

/** Heartbeats come every two seconds: a frozen connection gives no other sign. */
const SILENCE_MS = 6000;
const LOOK_MS = 500;
/** Of a connection that we gave up. */
const GIVEN_UP: Ended = { code: -1 };

/** Resolves when it has ended, however it did. */
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
  // Followed by a close.
  socket.onerror = () => {};
  socket.onclose = ({ code }) => end({ code });
  signal.addEventListener("abort", giveUp);
  if (signal.aborted) giveUp();
  return promise;
}
