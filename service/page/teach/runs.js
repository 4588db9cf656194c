// Starting training runs and following them live.

import { ask, get, post } from "../api.js";
import { $, say } from "../dom.js";
import { curve } from "./curves.js";

const RECIPES = {
  text4vis: ["text4vis", "text4vis-2023"],
  vision_only: ["text4vis", "text4vis-2023"],
  contrastive: ["text4vis", "text4vis-2023"],
  vifi: ["vifi-zero-shot", "vifi-supervised", "vifi-base-to-novel", "vifi-few-shot"],
  image_only: ["vifi-zero-shot", "vifi-supervised", "vifi-base-to-novel", "vifi-few-shot"],
  text_only: ["vifi-zero-shot", "vifi-supervised", "vifi-base-to-novel", "vifi-few-shot"],
  vl_prompt: ["vifi-prompt-base-to-novel", "vifi-prompt-few-shot"],
};
const TEXTS = ["method", "recipe", "temporal", "tune"];
const NUMBERS = ["epochs", "shots", "frames", "learning_rate", "seed"];
const ENDED = ["succeeded", "failed", "cancelled"];

export class Runs {
  #told;
  #dataset;
  #onVersion;
  #events = null;
  #losses = [];
  #accuracies = [];

  /** dataset: → the id of the chosen one; onVersion: called once a run has made a version. */
  constructor(told, dataset, onVersion) {
    this.#told = told;
    this.#dataset = dataset;
    this.#onVersion = onVersion;
    $("method").onchange = () => this.#recipes();
    this.#recipes();
    $("training").onsubmit = event => { event.preventDefault(); told(() => this.#start()); };
    $("preview").onclick = () => told(() => this.#preview());
    $("run").onchange = () => told(() => this.#follow($("run").value));
    $("cancel").onclick = () => told(() => this.#act("cancel"));
    $("resume").onclick = () => told(() => this.#act("resume"));
    told(() => this.#bases());
    told(() => this.#list());
  }

  async #bases() {
    const { data } = await get("/v1/models?limit=1000");
    for (const model of data) {
      const refs = model.kind === "zoo" ? [model.name] : model.versions.toReversed().map(number => `${model.name}:${number}`);
      for (const ref of refs) $("base").add(new Option(ref, ref));
    }
  }

  async #list(chosen = "") {
    const { data } = await get("/v1/training-jobs?limit=100");
    $("run").replaceChildren(new Option(data.length ? "–" : "No run yet", ""),
      ...data.map(job => new Option(`${job.subject ?? job.id}, ${new Date(job.created_at * 1000).toLocaleString()}, ${job.state}`, job.id)));
    $("run").value = chosen;
  }

  #recipes() {
    $("recipe").replaceChildren(new Option("default", ""), ...RECIPES[$("method").value].map(name => new Option(name, name)));
  }

  #request() {
    const request = { dataset: this.#dataset() };
    if ($("base").value) request.base = $("base").value;
    return request;
  }

  async #start() {
    if (!this.#dataset()) return say("Choose a dataset first.", true);
    const request = { ...this.#request(), name: $("name").value.trim() };
    for (const name of TEXTS) if ($(name).value) request[name] = $(name).value;
    for (const name of NUMBERS) if ($(name).value) request[name] = Number($(name).value);
    const job = await post("/v1/training-jobs", request);
    await this.#list(job.id);
    await this.#follow(job.id);
  }

  async #preview() {
    if (!this.#dataset()) return say("Choose a dataset first.", true);
    const { dataset, ...request } = this.#request();
    say("Trying heads on the model's features…");
    const found = await ask(`/v1/datasets/${dataset}/preview`, request);
    $("advice").textContent = found.advice.sentence;
    $("advice").hidden = false;
    say("");
  }

  async #act(verb) {
    const id = $("run").value;
    await post(`/v1/training-jobs/${id}/${verb}`);
    await this.#follow(id);
  }

  async #follow(id) {
    this.#events?.close();
    $("following").hidden = !id;
    if (!id) return;
    [this.#losses, this.#accuracies] = [[], []];
    $("log").textContent = "";
    $("curves").replaceChildren();
    this.#state(await get(`/v1/training-jobs/${id}`));
    this.#events = new EventSource(`/v1/training-jobs/${id}/events`);
    const on = (name, act) => this.#events.addEventListener(name, event => act(JSON.parse(event.data)));
    on("progress", data => this.#progress(data));
    on("metric", data => this.#metric(data));
    on("log", data => { $("log").textContent += `${data.message ?? JSON.stringify(data)}\n`; });
    on("state", () => this.#told(async () => { // one of many: the events of a resumed run tell of its earlier end, too
      const job = await get(`/v1/training-jobs/${id}`);
      this.#state(job);
      if (!ENDED.includes(job.state)) return;
      this.#events.close();
      if (job.state === "succeeded") this.#onVersion();
      if ($("run").value === id) await this.#list(id); // with its state
    }));
  }

  #state(job) {
    const ended = ENDED.includes(job.state);
    $("cancel").hidden = ended;
    $("resume").hidden = !["failed", "cancelled"].includes(job.state);
    $("phase").textContent = job.error ? `${job.error.message} ${job.error.hint ?? ""}` : job.result?.model ? `${job.result.model} is ready.` : `The run is ${job.state}.`;
  }

  #progress(data) {
    const parts = [data.phase, data.steps && `step ${data.step} of ${data.steps}`, data.eta_s && `about ${Math.ceil(data.eta_s)} s left`];
    $("phase").textContent = parts.filter(Boolean).join(", ");
    if (data.loss !== null && data.loss !== undefined) this.#losses.push([data.step, data.loss]);
    this.#draw();
  }

  #metric(data) {
    if (data.split === "val" && data.top1 !== undefined) this.#accuracies.push([data.epoch, data.top1 * 100]);
    this.#draw();
  }

  #draw() {
    const shown = [["Loss", this.#losses, ""], ["Top-1 on the val split", this.#accuracies, "%"]].filter(([, series]) => series.length > 1);
    $("curves").replaceChildren(...shown.map(each => curve(...each)));
  }
}
