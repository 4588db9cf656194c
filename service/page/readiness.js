// Tells on every view while the server cannot answer questions, and why, and takes it back once it can.

import { $ } from "./dom.js";

const EVERY = 5000; // milliseconds

async function look() {
  const text = await reason();
  if ($("away").textContent !== text) $("away").textContent = text; // a screen reader says each change once
  $("away").hidden = !text;
}

async function reason() {
  try {
    const { reasons } = await (await fetch("/readyz", { cache: "no-store" })).json();
    const sentences = reasons.map(each => `${each[0].toUpperCase()}${each.slice(1)}.`);
    return sentences.length ? `The server is not ready. ${sentences.join(" ")}` : "";
  } catch {
    return "The server cannot be reached. This page goes on once it is back.";
  }
}

export function watch() {
  look();
  setInterval(() => document.hidden || look(), EVERY);
}
