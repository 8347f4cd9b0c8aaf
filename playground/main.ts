/** The page: a conversation with the agent, and beside it the agent's activity. */

import type { AgentClient } from "../client/tools.ts";
import type { StackInfo } from "../local/stack_info.ts";
import { AccountKeeper } from "./account.ts";
import { AccountView } from "./account_view.ts";
import { ActivityView } from "./activity_view.ts";
import { Chat, listen } from "./chat.ts";
import { ChatView } from "./chat_view.ts";
import { Composer } from "./composer.ts";
import { ConnectionView } from "./connection_view.ts";
import { ConversationsView } from "./conversations_view.ts";
import { coalesced, find } from "./dom.ts";
import { NoticesView } from "./notices_view.ts";
import { QueueView } from "./queue_view.ts";
import { RateView } from "./rate_view.ts";
import { StackView } from "./stack_view.ts";
import { startTheme } from "./theme.ts";
import { Wire } from "./wire.ts";

/** How long the connection stays cut: long enough to see it. */
const CUT_MS = 2000;
const SUGGESTIONS = [
  "Tell me a long story",
  "Think about a riddle",
  "What can you do?",
  "What did I say before?",
  "How do I resume?",
];

async function start(): Promise<void> {
  startTheme();
  const response = await fetch("/playground/stack.json");
  const info: StackInfo = await response.json();
  // The stack may be reached under another name than its own address.
  const here = { ...info, url: location.origin };
  const wire = new Wire();
  const stackView = new StackView(here);
  const connectionView = new ConnectionView();
  const notices = new NoticesView();
  const rate = new RateView();

  const keeper = new AccountKeeper(info.publishableKey, () => {
    accountView.draw();
    activity.account(keeper.email !== undefined);
    conversations.clear();
    chat.begin();
  });
  /** If this is false, the page shows what to do. */
  function isWelcome(): boolean {
    const isIt = info.authMode !== "required" || keeper.email !== undefined;
    if (!isIt) accountView.ask("This stack takes only users: sign in, or sign up.");
    return isIt;
  }
  const accountView = new AccountView(keeper);
  const chat = new Chat({
    url: `${here.url}/functions/v1/agent_websocket`,
    WebSocket: wire.Socket,
    wake: wire.wake,
    getToken: (why) => keeper.token(why),
    isWelcome,
    onClient: follow,
  });
  const composer = new Composer(() => chat.client, isWelcome);
  const chatView = new ChatView({
    suggestions: SUGGESTIONS,
    ask: (question) => composer.ask(question),
    replace: (turn, question) => composer.replace(turn, question),
  });
  const queue = new QueueView(() => chat.client, composer);
  const conversations = new ConversationsView({
    chat,
    isSignedIn: () => keeper.email !== undefined,
    onCleared: () => notices.toast("The agent has forgotten the conversation so far.", "Memory cleared"),
    onError: (error) =>
      notices.toast(error instanceof Error ? error.message : String(error), "It did not work"),
  });
  const activity = new ActivityView({ info: here, token: () => keeper.token("connect") });
  const draw = coalesced(() => {
    connectionView.draw(chat.client);
    composer.draw();
    queue.draw();
  });

  /** Shows the events of a client's session. */
  function follow(client: AgentClient, sessionId: string | undefined): void {
    /** Events up to this number existed before the page was loaded. */
    let historyUpTo = 0;
    const isHistory = (seq: number | undefined): boolean => seq !== undefined && seq <= historyUpTo;
    connectionView.reset();
    notices.reset();
    chatView.reset(client, sessionId === undefined);
    conversations.reset(sessionId);
    listen(client, {
      open: (opened) => {
        historyUpTo = opened.resumed?.to_seq ?? 0;
        chatView.historyUpTo(historyUpTo);
        connectionView.opened(opened, true);
        stackView.session(opened.session.id);
        conversations.opened(opened.session.id, opened.resumed?.reason === "unknown_session");
        draw();
      },
      reconnected: (opened) => {
        chatView.back();
        connectionView.opened(opened, false);
        stackView.session(opened.session.id);
        conversations.opened(opened.session.id, opened.resumed?.reason === "unknown_session");
        draw();
      },
      message: () => {
        chatView.message();
        draw();
      },
      notification: (frame) => {
        if (frame.code !== "connected") notices.add(frame, !isHistory(frame.seq));
      },
      turn: (turn) => {
        chatView.turn(turn);
        conversations.turn(turn);
        rate.turn(turn, !turn.isMine && isHistory(client.session?.lastSeq));
        draw();
      },
      call: (call) => chatView.call(call),
      reconnecting: (lost) => {
        chatView.lost();
        connectionView.lost(lost);
        draw();
      },
      close: (closing) => {
        draw();
        // Closed by this page: another session follows.
        if (client !== chat.client || closing.reason === "Closed by the client") return;
        if (client.status === "idle") return connectionView.paused(client.session?.durable ?? false);
        connectionView.closed(closing);
        if (closing.code === 4001) accountView.ask("This stack takes only users: sign in, or sign up.");
      },
      error: (error) => {
        // The client goes on asking for a token.
        if (error.code === "token_failed" && keeper.email === undefined) accountView.ask(error.message);
        else notices.toast(error.message, "Something went wrong");
      },
    });
    draw();
  }

  find("cut", HTMLButtonElement).addEventListener("click", () => wire.cut(CUT_MS));
  activity.account(keeper.email !== undefined);
  chat.start();
}

await start();
