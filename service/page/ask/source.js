// Which video the question is about: a file, a stored video, or a web address.

import { get } from "../api.js";
import { $, clock, element } from "../dom.js";
import { play } from "./player.js";

export class Source {
  /** The id of the video once the server has it: then no upload is needed. */
  stored = null;
  #changed;
  #file = null;

  constructor(onChange) {
    this.#changed = onChange;
    for (const radio of document.getElementsByName("source")) radio.onchange = () => this.#show(radio.value);
    $("file").onchange = () => this.#choose($("file").files[0]);
    $("stored").onchange = () => this.#remember($("stored").value || null);
    $("url").onchange = () => this.#remember(null);
    const drop = document.querySelector(".drop");
    drop.ondragover = event => { event.preventDefault(); drop.classList.add("over"); };
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = event => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length) this.#choose(event.dataTransfer.files[0]);
    };
  }

  get kind() { return document.querySelector("input[name=source]:checked").value; }
  get file() { return this.kind === "file" ? this.#file : null; }
  get url() { return this.kind === "url" ? $("url").value.trim() : ""; }
  get missing() { return !this.stored && !this.file && !this.url; }

  /** The server has stored the video. A player can show one that came from a web address now. */
  keep(id) {
    if (this.stored === id) return;
    this.stored = id;
    if (this.kind === "url") play(`/v1/videos/${id}/content`);
  }

  forget() { this.stored = null; }

  #choose(file) {
    if (!file) return;
    this.#file = file;
    $("chosen").textContent = file.name;
    play(file);
    this.#remember(null, true);
  }

  #remember(id, playing = false) {
    this.stored = id;
    if (!playing) play(id && `/v1/videos/${id}/content`);
    this.#changed();
  }

  async #show(kind) {
    for (const part of document.querySelectorAll("[data-source]")) part.hidden = part.dataset.source !== kind;
    if (kind === "file" && this.#file) return this.#choose(this.#file);
    this.#remember(kind === "stored" ? $("stored").value || null : null);
    if (kind === "stored") await this.#list();
  }

  async #list() {
    const { data } = await get("/v1/videos?limit=100").catch(() => ({ data: [] }));
    const options = data.map(video => element("option", { value: video.id }, described(video)));
    $("stored").replaceChildren(element("option", { value: "" }, data.length ? "Choose one" : "No video is stored yet"), ...options);
  }
}

function described(video) {
  const length = video.facts && clock(video.facts.duration);
  const known = [video.tags.join(", "), video.answer?.label, length, `${(video.bytes / 1e6).toFixed(1)} MB`];
  return [new Date(video.created_at * 1000).toLocaleString(), ...known.filter(Boolean)].join(" · ");
}
