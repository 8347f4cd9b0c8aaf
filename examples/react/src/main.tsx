import type { User } from "@supabase/supabase-js";
import { StrictMode, Suspense, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { supabase } from "./agent";
import { ChatView } from "./ChatView";
import { Conversations } from "./Conversations";

function App() {
  const [user, setUser] = useState<User | null>();
  useEffect(() => {
    const { data } = supabase.auth.onAuthStateChange((_event, session) => setUser(session?.user ?? null));
    return () => data.subscription.unsubscribe();
  }, []);
  if (user === undefined) return null;
  return user === null ? <SignIn /> : <Home key={user.id} email={user.email} />;
}

function SignIn() {
  const [problem, setProblem] = useState<string>();
  const action = (method: "signInWithPassword" | "signUp") => async (form: FormData) => {
    const [email, password] = [String(form.get("email")), String(form.get("password"))];
    const { data, error } = await supabase.auth[method]({ email, password });
    setProblem(error?.message ?? (data.session ? "" : "Confirm your address first: see your mail."));
  };
  return (
    <form className="sign-in" action={action("signInWithPassword")}>
      <input name="email" type="email" aria-label="Email" placeholder="Email" required />
      <input name="password" type="password" aria-label="Password" placeholder="Password" required />
      <button>Sign in</button>
      <button formAction={action("signUp")}>Sign up</button>
      <p role="alert">{problem}</p>
    </form>
  );
}

function Home({ email }: { email?: string }) {
  const [chatId, setChatId] = useState(() => location.hash.slice(1) || crypto.randomUUID());
  const [changes, setChanges] = useState(0);
  const onChange = () => setChanges((count) => count + 1);
  useEffect(() => history.replaceState(null, "", `#${chatId}`), [chatId]);
  return (
    <div className="home">
      <aside>
        <Conversations current={chatId} onOpen={setChatId} changes={changes} onChange={onChange} />
        <footer>
          {email} <button onClick={() => supabase.auth.signOut()}>Sign out</button>
        </footer>
      </aside>
      <Suspense fallback={<main />}>
        <ChatView key={chatId} id={chatId} onChange={onChange} />
      </Suspense>
    </div>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
