/** The sign-in panel. */

import type { AccountKeeper } from "./account.ts";
import { find, setText } from "./dom.ts";

export class AccountView {
  readonly #keeper: AccountKeeper;
  readonly #form = find("sign-in", HTMLFormElement);
  readonly #problem = find("account-problem", HTMLElement);

  constructor(keeper: AccountKeeper) {
    this.#keeper = keeper;
    const act = (verb: "signIn" | "signUp"): void => {
      if (this.#form.reportValidity()) void this.#try(verb);
    };
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      act("signIn");
    });
    find("sign-up-button", HTMLButtonElement).addEventListener("click", () => act("signUp"));
    find("sign-out", HTMLButtonElement).addEventListener("click", () => keeper.signOut());
    this.draw();
  }

  draw(): void {
    const { email } = this.#keeper;
    this.#form.hidden = email !== undefined;
    find("signed-in", HTMLElement).hidden = email === undefined;
    setText(find("account-email", HTMLElement), email ?? "");
    const chip = find("account-chip", HTMLElement);
    setText(chip, email === undefined ? "anonymous" : "signed in");
    chip.dataset.tone = email === undefined ? "" : "good";
  }

  /** Opens the panel and shows why a sign-in is needed. */
  ask(why: string): void {
    find("account-panel", HTMLDetailsElement).open = true;
    setText(this.#problem, why);
  }

  async #try(verb: "signIn" | "signUp"): Promise<void> {
    const password = find("password", HTMLInputElement);
    setText(this.#problem, "");
    try {
      await this.#keeper[verb](find("email", HTMLInputElement).value, password.value);
      password.value = "";
    } catch (error) {
      setText(this.#problem, error instanceof Error ? error.message : String(error));
    }
  }
}
