// Asks for an API key when the server wants one. The server keeps it in a cookie that scripts cannot read.

import { put, remove, SIGNED_OUT } from "./api.js";
import { element } from "./dom.js";

const key = element("input", { type: "password", autocomplete: "current-password", required: true });
const wrong = element("p", { className: "bad", role: "alert" });
const dialog = element("dialog", { id: "signin" },
  element("form", { method: "dialog", onsubmit: signIn },
    element("h2", {}, "Sign in"),
    element("p", {}, "This server needs an API key. Its operator makes keys."),
    element("label", {}, "API key ", key),
    wrong,
    element("button", {}, "Sign in")));
dialog.setAttribute("aria-label", "Sign in");

async function signIn(event) {
  event.preventDefault();
  try {
    await put("/v1/session", { key: key.value.trim() });
    location.reload();
  } catch (problem) {
    wrong.textContent = problem.message;
    key.focus();
  }
}

async function signOut() {
  await remove("/v1/session");
  location.reload();
}

async function showWhoAsks() {
  const response = await fetch("/v1/info");
  if (response.status === 401) return open();
  const { key: used } = response.ok ? await response.json() : {};
  if (!used?.id) return;
  const button = element("button", { type: "button", className: "plain", onclick: signOut }, "Sign out");
  document.querySelector("header").append(element("p", { className: "small", id: "signed-in" }, `${used.name}, project ${used.project} `, button));
}

function open() {
  if (!dialog.open) dialog.showModal();
}

export function watchSession() {
  document.body.append(dialog);
  document.addEventListener(SIGNED_OUT, open);
  showWhoAsks().catch(() => null); // the banner says that the server is away
}
