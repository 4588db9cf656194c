const $ = id => document.getElementById(id), button = document.querySelector("button");
let stored = null;  // id of the chosen video once the server has stored it; then no upload is needed
const say = (text, bad = false) => { $("said").textContent = text; $("said").className = bad ? "bad" : ""; };
const row = (label, share) => {
  const line = document.createElement("div"); line.className = "row";
  const [name, bar, number] = ["span", "div", "span"].map(tag => line.appendChild(document.createElement(tag)));
  name.textContent = label; bar.className = "bar"; number.textContent = (share * 100).toFixed(1) + " %";
  bar.appendChild(document.createElement("i")).style.width = share * 100 + "%";
  return line;
};
async function read(response) {
  const body = await response.json();
  if (body.error) throw new Error([body.error.message, body.error.hint].filter(Boolean).join(" "));
  return body;
}
async function ask(labels) {
  const asked = {};  // without labels a fine-tuned model uses the classes of its training
  if (labels.length) asked.labels = labels;
  if ($("which").value) asked.model = $("which").value;
  const json = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) };
  if (stored) return fetch(`/v1/videos/${stored}/classify`, json);
  const form = new FormData();
  for (const [name, value] of Object.entries(asked)) form.append(name, typeof value === "string" ? value : JSON.stringify(value));
  form.append("video", $("file").files[0]);
  return fetch("/v1/classify", { method: "POST", body: form });
}
async function finished(response) {
  let body = await read(response);
  while (response.status === 202 && ["queued", "running"].includes(body.state)) {
    await new Promise(resolve => setTimeout(resolve, 500));
    body = await read(await fetch(body.links.self));
  }
  return body.result ?? body;
}
$("file").onchange = () => {
  stored = null; say(""); $("answer").replaceChildren();
  $("player").src = URL.createObjectURL($("file").files[0]); $("player").hidden = false;
};
document.forms[0].onsubmit = async event => {
  event.preventDefault(); button.disabled = true; say(stored ? "Asking again…" : "Uploading and looking…");
  const start = performance.now();
  try {
    const labels = $("labels").value.split("\n").map(line => line.trim()).filter(Boolean);
    const answer = await finished(await ask(labels));
    stored = answer.video.id;
    $("answer").replaceChildren(...answer.predictions.map(p => row(p.label, p.score)));
    const seconds = ((performance.now() - start) / 1000).toFixed(2);
    say([`${answer.frames.length} frames looked at, answered in ${seconds} s by ${answer.model}.`, ...answer.warnings].join(" "));
  } catch (error) { say(error.message, true); } finally { button.disabled = false; }
};
$("which").onchange = () => { const own = $("which").value !== ""; $("labels").required = !own; $("own").hidden = !own; };
fetch("/v1/models?limit=1000").then(read).then(({ data }) => {
  for (const { name, versions, aliases } of data.filter(model => model.kind === "fine-tuned")) {
    const refs = [...Object.entries(aliases).map(([alias, n]) => [`${name}@${alias}`, ` (${n})`]), ...versions.map(n => [`${name}:${n}`, ""]).reverse()];
    for (const [ref, more] of refs) $("which").add(new Option(ref + more, ref));
    $("choice").hidden = false;
  }
}).catch(error => say(error.message, true));
fetch("/v1/info").then(read).then(({ model }) => {
  $("model").textContent = model ? [`Model: ${model.name}` + (model.reason ? `, because ${model.reason}.` : "."), model.note].filter(Boolean).join(" ") : "No worker is ready yet.";
}).catch(error => say(error.message, true));
