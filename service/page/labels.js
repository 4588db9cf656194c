// The view "Labels": label sets with their versions, and the check that says which labels a model cannot tell apart.

import { ask, get, put, remove } from "./api.js";
import { Chips } from "./chips.js";
import { $, element, say } from "./dom.js";
import { watch } from "./readiness.js";
import { watchSession } from "./signin.js";

const pathOf = set => `/v1/label-sets/${encodeURIComponent(set)}`;
const chips = new Chips($("labels"), [], () => { $("report").hidden = true; });
let opened = null; // the label set that is shown, null for a new one
let checking = null;

async function list(chosen = "") {
  const { data } = await get("/v1/label-sets?limit=1000");
  $("sets").replaceChildren(new Option("a new one", ""), ...data.map(set => new Option(`${set.name} (${set.labels.length})`, set.name)));
  $("sets").value = chosen;
}

async function open(name, version = null) {
  $("report").hidden = true;
  $("history").hidden = $("delete").hidden = !name;
  opened = name ? await get(version ? `${pathOf(name)}/versions/${version}` : pathOf(name)) : null;
  $("name").value = opened?.name ?? "";
  $("description").value = opened?.description ?? "";
  chips.set((opened?.labels ?? []).map(label => label.name ?? label), true);
  if (!name || version) return;
  const { data } = await get(`${pathOf(name)}/versions`);
  $("versions").replaceChildren(...data.map(each => new Option(`${each.version}, ${new Date(each.created_at * 1000).toLocaleString()}`, each.version)));
}

async function save() {
  chips.settle();
  const name = $("name").value.trim();
  const known = new Map((opened?.labels ?? []).map(label => [label.name ?? label, label])); // with their prompts
  const labels = chips.labels.map(label => known.get(label) ?? label);
  const set = { labels, description: $("description").value.trim() || null, templates: opened?.templates ?? null };
  const saved = await put(pathOf(name), set);
  await list(name);
  await open(name);
  say(`Saved as ${saved.name}, version ${saved.version}.`);
}

async function check() {
  chips.settle();
  if (!chips.labels.length) return say("Add a label first.", true);
  checking?.abort();
  checking = new AbortController();
  say("Checking…");
  const found = await ask("/v1/labels/check", { labels: chips.labels }, checking.signal);
  const findings = found.findings.map(each => element("li", {},
    element("strong", {}, each.message), " ", each.suggestion ?? ""));
  const picture = element("img", { src: found.map.url, alt: "How similar the labels are to each other for the model, as a map", className: "map" });
  $("findings").replaceChildren(
    findings.length ? element("ul", {}, ...findings) : element("p", {}, "Nothing is wrong with these labels."),
    ...(found.left_out ? [element("p", { className: "small" }, `${found.left_out} more are not shown.`)] : []), picture);
  $("report").hidden = false;
  say(`${found.model} has read ${found.checked} labels.`);
}

async function drop() {
  if (!confirm(`Delete all versions of ${opened.name}?`)) return;
  await remove(pathOf(opened.name));
  say(`${opened.name} is deleted.`);
  await list();
  await open("");
}

const told = action => (...given) => action(...given).catch(error => error.name === "AbortError" || say(error.message, true));

$("set").onsubmit = event => { event.preventDefault(); told(save)(); };
$("check").onclick = told(check);
$("delete").onclick = told(drop);
$("sets").onchange = () => told(open)($("sets").value);
$("versions").onchange = () => told(open)(opened.name, $("versions").value);
told(list)();
watch();
watchSession();
