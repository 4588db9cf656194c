// Sending a dataset, and reading what is wrong with it.

import { askAboutFile, get } from "../api.js";
import { $, element, say } from "../dom.js";
import { clipList } from "./clips.js";

export class Datasets {
  #told;
  #sending = null;

  constructor(told) {
    this.#told = told;
    $("datasets").onsubmit = event => { event.preventDefault(); told(() => this.#send()); };
    $("stop-sending").onclick = () => this.#sending?.abort();
    $("dataset").onchange = () => told(() => this.#show());
    told(() => this.list());
  }

  get chosen() { return $("dataset").value; }

  async list(chosen = "") {
    const { data } = await get("/v1/datasets?limit=1000");
    $("dataset").replaceChildren(new Option(data.length ? "–" : "No dataset yet", ""),
      ...data.map(each => new Option(`${each.name || each.id} (${each.classes.length} classes)`, each.id)));
    $("dataset").value = chosen;
    await this.#show();
  }

  async #send() {
    const [file] = $("archive").files;
    if (!file) return say("Choose an archive first.", true);
    const form = new FormData();
    if ($("dataset-name").value.trim()) form.append("name", $("dataset-name").value.trim());
    form.append("archive", file);
    this.#sending = new AbortController();
    $("stop-sending").hidden = $("sent").hidden = false;
    say("Uploading…");
    try {
      const made = await askAboutFile("/v1/datasets", form, share => {
        $("sent").value = share;
        if (share === 1) say("The dataset is there. Its clips are checked…");
      }, this.#sending.signal);
      await this.list(made.dataset);
      say(`${made.clips} clips of ${made.classes} classes are ready.`);
    } finally {
      $("stop-sending").hidden = $("sent").hidden = true;
    }
  }

  async #show() {
    $("findings").replaceChildren();
    if (!this.chosen) return;
    const found = await get(`/v1/datasets/${this.chosen}`);
    const splits = Object.entries(found.splits).map(([split, clips]) => `${clips} ${split}`).join(", ");
    $("findings").replaceChildren(
      element("p", { className: "small" }, `${found.classes.map(each => each.name).join(", ")}: ${splits} clips.`),
      element("ul", {}, ...found.report.map(each => element("li", { className: each.severity },
        element("strong", {}, `${each.severity}: `), each.message, files(each.paths)))),
      clipList(found.id, this.#told));
  }
}

const files = paths => paths.length ? element("span", { className: "small" }, ` (${paths.slice(0, 5).join(", ")})`) : null;
