/** The signed-in user: plain requests to Supabase Auth, stored for all tabs of this page. */

const STORAGE_KEY = "agent-websocket-account";
/** A token that expires sooner is refreshed first. */
const FRESH_FOR_MS = 60_000;

interface Account {
  accessToken: string;
  refreshToken: string;
  /** Milliseconds since the Unix epoch. */
  expiresAt: number;
  email: string;
}

/** An error of Auth, in its words. */
export class AccountError extends Error {
  override readonly name = "AccountError";
}

export class AccountKeeper {
  readonly #publishableKey: string;
  readonly #onChange: () => void;
  #account: Account | undefined = load();

  /** `onChange` is called for another user, or after signing out. */
  constructor(publishableKey: string, onChange: () => void) {
    this.#publishableKey = publishableKey;
    this.#onChange = onChange;
  }

  get email(): string | undefined {
    return this.#account?.email;
  }

  /**
   * A token that stays valid for a while, refreshed if necessary; undefined if no user is signed in. Rejects if Auth
   * cannot be reached.
   */
  async token(why: "connect" | "rejected" | "expiring"): Promise<string | undefined> {
    const account = this.#account;
    if (account === undefined) return undefined;
    if (why === "connect" && account.expiresAt - Date.now() > FRESH_FOR_MS) return account.accessToken;
    try {
      this.#keep(
        await this.#request("token?grant_type=refresh_token", { refresh_token: account.refreshToken }),
      );
    } catch (error) {
      if (!(error instanceof AccountError)) throw error;
      // The account is gone: a stack that keeps accounts in memory was restarted.
      this.signOut();
    }
    return this.#account?.accessToken;
  }

  /** Rejects with an {@linkcode AccountError} that contains the reason. */
  async signIn(email: string, password: string): Promise<void> {
    this.#keep(await this.#request("token?grant_type=password", { email, password }));
    this.#onChange();
  }

  async signUp(email: string, password: string): Promise<void> {
    this.#keep(await this.#request("signup", { email, password }));
    this.#onChange();
  }

  signOut(): void {
    this.#account = undefined;
    localStorage.removeItem(STORAGE_KEY);
    this.#onChange();
  }

  #keep(account: Account): void {
    this.#account = account;
    localStorage.setItem(STORAGE_KEY, JSON.stringify(account));
  }

  async #request(path: string, body: Readonly<Record<string, string>>): Promise<Account> {
    const response = await fetch(`/auth/v1/${path}`, {
      method: "POST",
      headers: { apikey: this.#publishableKey, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) {
      const why = answer.msg ?? answer.error_description ?? answer.message ??
        `Auth answered ${response.status}`;
      throw new AccountError(String(why));
    }
    return {
      accessToken: String(answer.access_token),
      refreshToken: String(answer.refresh_token),
      expiresAt: Date.now() + Number(answer.expires_in) * 1000,
      email: String(answer.user?.email ?? ""),
    };
  }
}

function load(): Account | undefined {
  try {
    const account: Account | null = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "null");
    return account?.accessToken === undefined ? undefined : account;
  } catch {
    return undefined;
  }
}
