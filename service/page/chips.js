// A list of labels as chips: type and press Enter, or paste a list with one label per line.

import { element } from "./dom.js";

export class Chips {
  #labels = [];
  #list = element("ul", { className: "chips", ariaLabel: "Labels" });
  #input = element("input", { id: "label", autocomplete: "off", placeholder: "riding a bicycle" });
  #changed;

  /** onChange: called after each change. */
  constructor(place, labels, onChange) {
    this.#changed = onChange;
    const help = element("span", { className: "small", id: "label-help" }, "Enter adds a label. Paste a list with one label per line.");
    this.#input.setAttribute("aria-describedby", "label-help");
    const add = element("button", { type: "button", className: "plain", onclick: () => this.#take() }, "Add");
    place.append(this.#list, element("label", { htmlFor: "label" }, "Add a label"), element("div", { className: "pair" }, this.#input, add), help);
    this.#input.onkeydown = event => this.#key(event);
    this.#input.onpaste = event => this.#paste(event);
    this.set(labels, true);
  }

  get labels() { return this.#labels; }

  /** Labels that were typed and not added yet count too. */
  settle() { if (this.#input.value.trim()) this.#take(); }

  set(labels, silent = false) {
    this.#labels = [...new Set(labels.map(label => label.trim()).filter(Boolean))];
    this.#list.replaceChildren(...this.#labels.map(label => this.#chip(label)));
    if (!silent) this.#changed();
  }

  #chip(label) {
    const remove = element("button", { type: "button", ariaLabel: `Remove ${label}`, onclick: () => {
      this.set(this.#labels.filter(other => other !== label));
      this.#input.focus();
    } }, "×");
    const name = element("button", { type: "button", className: "name", title: "Edit", onclick: () => {
      this.set(this.#labels.filter(other => other !== label), true);
      this.#input.value = label;
      this.#input.focus();
    } }, label);
    return element("li", {}, name, remove);
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && this.#input.value.trim()) {
      event.preventDefault();
      this.#take();
    } else if (event.key === "Backspace" && !this.#input.value && this.#labels.length) {
      this.set(this.#labels.slice(0, -1));
    }
  }

  #paste(event) {
    const lines = event.clipboardData.getData("text").split(/\r?\n/);
    if (lines.length < 2) return;
    event.preventDefault();
    this.set([...this.#labels, ...lines]);
  }

  #take() {
    const label = this.#input.value;
    this.#input.value = "";
    this.set([...this.#labels, label]);
  }
}
