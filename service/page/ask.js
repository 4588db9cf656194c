// The view "Ask": a video, labels, and what the model says. The video is sent once; a changed label asks again.

import { Problem, ask, askAboutFile, get, post, put } from "./api.js";
import { showScores } from "./ask/answer.js";
import { Chips } from "./chips.js";
import { $, element, say } from "./dom.js";
import { showFrames } from "./ask/frames.js";
import { onTime, seek } from "./ask/player.js";
import { Source } from "./ask/source.js";
import { showTime, showTimeline } from "./ask/timeline.js";
import { watch } from "./readiness.js";
import { watchSession } from "./signin.js";

const AGAIN = 250; // milliseconds after a change, so that one who types is not interrupted
let running = null; // the AbortController of the question that is under way
let waiting = null;
let duration = 0;
let drawn = null; // the video and the model whose frames are shown: other labels change nothing about them

const source = new Source(clear);
const chips = new Chips($("labels"), ["riding a bicycle", "playing the guitar", "a cat"], askAgain);

function clear() {
  running?.abort();
  $("answer").hidden = $("when").hidden = true;
  say("");
}

function question() {
  const asked = { mode: $("mode").value };
  if (chips.labels.length) asked.labels = chips.labels;
  if ($("which").value) asked.model = $("which").value;
  if ($("threshold").value) asked.threshold = Number($("threshold").value) / 100;
  return asked;
}

function askAgain() {
  clearTimeout(waiting);
  if (source.stored && !$("answer").hidden) waiting = setTimeout(run, AGAIN);
}

async function run() {
  chips.settle();
  clearTimeout(waiting);
  if (source.missing) return say("Choose a video first.", true);
  if (!chips.labels.length && !$("which").value.includes(":") && !$("which").value.includes("@")) return say("Add a label first.", true);
  running?.abort();
  const own = running = new AbortController();
  busy(true);
  try {
    const answer = await answered(question(), own.signal);
    await show(answer, own.signal);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true, run);
    else if (own === running) say("Cancelled.");
  } finally {
    if (own === running) busy(false);
  }
}

async function answered(asked, signal) {
  if (source.stored) {
    say("Asking…");
    try {
      return await ask(`/v1/videos/${source.stored}/classify`, asked, signal);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "unknown_video" || (!source.file && !source.url)) throw error;
      source.forget(); // it has expired: it is sent again
    }
  }
  if (source.url) {
    say("The server fetches the video and looks at it…");
    return ask("/v1/classify", { ...asked, video_url: source.url }, signal);
  }
  return send(asked, signal);
}

function send(asked, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(asked)) form.append(name, typeof value === "string" ? value : JSON.stringify(value));
  form.append("video", source.file);
  say("Uploading…");
  return askAboutFile("/v1/classify", form, share => {
    $("sent").value = share;
    $("sent").hidden = share === 1;
    if (share === 1) say("The video is there. The model looks at it…");
  }, signal);
}

async function show(answer, signal) {
  source.keep(answer.video.id);
  duration = answer.video.duration;
  showScores($("scores"), answer, label => confirm(answer, label));
  $("answer").hidden = $("when").hidden = false;
  say([`${answer.model} looked at ${answer.frames.length} frames.`, ...answer.warnings].join(" "));
  const video = `/v1/videos/${answer.video.id}`;
  const { labels, model } = question();
  await Promise.all([
    look(answer, model, signal),
    fill("timeline", ask(`${video}/timeline`, { labels, model }, signal),
      found => showTimeline($("timeline"), found.timeline, duration, seek)),
  ]);
}

async function look(answer, model, signal) {
  const wanted = `${answer.video.id} ${answer.model}`;
  if (drawn === wanted) return;
  drawn = null;
  await fill("frames", ask(`/v1/videos/${answer.video.id}/frames`, model ? { model } : {}, signal), sheet => {
    showFrames($("frames"), sheet, seek);
    drawn = wanted;
  });
}

async function confirm(answer, label) {
  try {
    await post("/v1/feedback", { job: answer.id, label });
    say(`Noted: the video shows “${label}”. A dataset can be made of what was noted.`);
  } catch (error) { say(error.message, true); }
}

// A part that fails says so in its place. The answer stays.
async function fill(id, asked, draw) {
  $(id).setAttribute("aria-busy", "true");
  try {
    draw(await asked);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    $(id).replaceChildren(element("p", { className: "small" }, error.message));
  } finally {
    $(id).removeAttribute("aria-busy");
  }
}

function busy(is) {
  $("progress").hidden = !is;
  $("sent").hidden = true;
}

const pathOf = set => `/v1/label-sets/${encodeURIComponent(set)}`;

async function listSets() {
  const { data } = await get("/v1/label-sets?limit=1000");
  const options = data.map(set => element("option", { value: set.name }, `${set.name} (${set.labels.length})`));
  $("sets").replaceChildren(element("option", { value: "" }, "–"), ...options);
}

async function listModels() {
  const { data } = await get("/v1/models?limit=1000");
  for (const model of data) {
    const refs = model.kind === "zoo" ? [[model.name, ""]] : [
      ...Object.entries(model.aliases).map(([alias, number]) => [`${model.name}@${alias}`, ` (version ${number})`]),
      ...model.versions.toReversed().map(number => [`${model.name}:${number}`, ""])];
    for (const [ref, more] of refs) $("which").add(new Option(ref + more, ref));
  }
  const wanted = new URLSearchParams(location.search).get("model"); // "Try it" of the view "Teach"
  if (wanted) $("which").value = wanted;
}

async function introduce() {
  const { model } = await get("/v1/info");
  if (model) $("model").textContent = [`Model: ${model.name}` + (model.reason ? `, because ${model.reason}.` : "."), model.note].filter(Boolean).join(" ");
}

$("question").onsubmit = event => { event.preventDefault(); run(); };
$("cancel").onclick = () => running?.abort();
for (const id of ["mode", "threshold", "which"]) $(id).addEventListener("change", askAgain);
$("which").addEventListener("change", () => { $("own").hidden = !/[:@]/.test($("which").value); });
$("sets").onchange = async () => {
  if (!$("sets").value) return;
  try {
    const set = await get(pathOf($("sets").value));
    chips.set(set.labels.map(label => label.name ?? label));
  } catch (error) { say(error.message, true); }
};
$("save").onclick = async () => {
  chips.settle();
  const name = $("name").value.trim();
  if (!name) return say("Type a name for the label set first.", true);
  try {
    const saved = await put(pathOf(name), { labels: chips.labels });
    await listSets();
    say(`Saved as ${saved.name}, version ${saved.version}.`);
  } catch (error) { say(error.message, true); }
};
onTime(time => showTime($("timeline"), time, duration));
for (const load of [introduce, listModels, listSets]) load().catch(error => say(error.message, true));
watch();
watchSession();
