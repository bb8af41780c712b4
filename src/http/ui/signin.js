// One clear prompt when nobody is signed in; the page behind it stays where it was.

import { events, login } from "./api.js";
import { h } from "./dom.js";

let asking = null;

/** Asks for a login until one is right. However often it is called, there is one prompt. */
export function signIn(reason = "") {
  asking ??= new Promise((resolve) => {
    const user = h("input", { id: "user", autocomplete: "username", required: true });
    const password = h("input", { id: "password", type: "password", autocomplete: "current-password", required: true });
    const said = h("p", { role: "alert", class: "problem" }, reason);
    const button = h("button", { class: "main" }, "Sign in");
    const submit = async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        const me = await login(user.value, password.value);
        dialog.close();
        dialog.remove();
        asking = null;
        resolve(me);
      } catch (error) {
        said.textContent = error.message;
        password.value = "";
        password.focus();
      }
      button.disabled = false;
    };
    const form = h(
      "form",
      { onsubmit: submit },
      h("h1", { id: "sign-in" }, "Sign in to labhouse"),
      said,
      h("label", { for: "user" }, "User"),
      user,
      h("label", { for: "password" }, "Password or personal token"),
      password,
      button,
    );
    const dialog = h("dialog", { "aria-labelledby": "sign-in", oncancel: (event) => event.preventDefault() }, form);
    document.body.append(dialog);
    dialog.showModal();
    user.focus();
  });
  return asking;
}

/** Prompts whenever the server says that the session has ended. */
export function watchSession(again) {
  events.addEventListener("signedout", async () => {
    if (asking) return;
    const me = await signIn("Your session has ended. Sign in to go on where you are.");
    again(me);
  });
}
