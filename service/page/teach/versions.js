// Versions of fine-tuned models: reports, aliases, and which of two is better.

import { ask, get, put } from "../api.js";
import { $, element, say } from "../dom.js";
import { comparison } from "./compare.js";

export class Versions {
  #told;

  constructor(told) {
    this.#told = told;
    told(() => this.list());
  }

  async list() {
    const { data } = await get("/v1/models?limit=1000");
    const tuned = data.filter(model => model.kind === "fine-tuned");
    $("versions").replaceChildren(...(tuned.length ? tuned.map(model => this.#model(model)) : [element("p", { className: "small" }, "No model was trained yet.")]));
  }

  #model(model) {
    const rows = model.versions.toReversed().map(number => this.#version(model, number));
    return element("section", { className: "panel" }, element("h3", {}, model.name), element("ul", { className: "versions" }, ...rows),
      model.versions.length > 1 ? comparison(model, this.#told) : null);
  }

  #version(model, number) {
    const ref = `${model.name}:${number}`;
    const aliases = Object.entries(model.aliases).filter(([, at]) => at === number).map(([alias]) => alias);
    const act = (text, run) => element("button", { type: "button", className: "plain", ariaLabel: `${text} ${ref}`, onclick: () => this.#told(run) }, text);
    const standing = model.aliases.production;
    return element("li", { className: "pair" },
      element("strong", {}, ref), ...aliases.map(alias => element("span", { className: "alias" }, alias)),
      element("a", { href: `/v1/models/${encodeURIComponent(model.name)}/versions/${number}/report`, ariaLabel: `Report of ${ref}` }, "Report"),
      element("a", { href: `/?model=${encodeURIComponent(ref)}`, ariaLabel: `Try ${ref}` }, "Try it"),
      aliases.includes("production") ? null : act(number < standing ? "Roll back to" : "Promote", () => this.#promote(model.name, number)),
      standing && standing !== number ? act("Is it better?", () => this.#compare(model.name, ref)) : null);
  }

  async #promote(name, version) {
    await put(`/v1/models/${encodeURIComponent(name)}/aliases/production`, { version });
    await this.list();
    say(`${name}@production is version ${version} now.`);
  }

  async #compare(name, candidate) {
    say("Comparing on the same held-out clips…");
    const found = await ask(`/v1/models/${encodeURIComponent(name)}/aliases/production/compare`, { model: candidate });
    say(found.sentence);
  }
}
