// Requests to this server. Every error becomes a `Problem`, whose message says what to do next.

export class Problem extends Error {
  constructor(code, message, hint, details = {}) {
    super([message, hint].filter(Boolean).join(" "));
    this.code = code;
    this.details = details;
  }
}

/** Told to the document when the server wants an API key. */
export const SIGNED_OUT = "vireo-signed-out";

const lost = () => new Problem("connection_lost", "The connection to the server was lost.", "Try again once it is back.");

function understand(status, text) {
  if (status === 204) return { status, body: null };
  let body;
  try { body = JSON.parse(text); } catch { body = null; }
  if (status === 401) document.dispatchEvent(new Event(SIGNED_OUT));
  if (status >= 400 && body?.error) throw new Problem(body.error.code, body.error.message, body.error.hint, body.error.details);
  if (status >= 400 || body === null) throw new Problem("unexpected_answer", `The server answered ${status} without a reason.`, "Try again.");
  return { status, body };
}

async function call(method, path, { json, signal } = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal });
    return understand(response.status, await response.text());
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw lost();
  }
}

export const get = async path => (await call("GET", path)).body;
export const post = async (path, json) => (await call("POST", path, { json })).body;
export const remove = path => call("DELETE", path);
export const put = async (path, json) => (await call("PUT", path, { json })).body;

/** The result of a question, which may become a job. signal: aborts the wait, and cancels the job. */
export async function ask(path, json, signal) {
  return finished(await call("POST", path, { json, signal }), signal);
}

/** Ask about a file. onProgress: gets the share that was sent, 0 to 1. */
export async function askAboutFile(path, form, onProgress, signal) {
  return finished(await upload(path, form, onProgress, signal), signal);
}

// `fetch` does not tell how much of a body was sent.
function upload(path, form, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.upload.onprogress = event => event.lengthComputable && onProgress(event.loaded / event.total);
    request.upload.onload = () => onProgress(1);
    request.onload = () => { try { resolve(understand(request.status, request.responseText)); } catch (error) { reject(error); } };
    request.onerror = () => reject(lost());
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

async function finished({ status, body }, signal) {
  if (status !== 202) return body;
  const job = body.links.self;
  try {
    while (["queued", "running"].includes(body.state)) {
      await pause(400, signal);
      ({ body } = await call("GET", job, { signal }));
    }
  } catch (error) {
    if (error.name === "AbortError") await call("POST", `${job}/cancel`).catch(() => null);
    throw error;
  }
  if (body.error) throw new Problem(body.error.code, body.error.message, body.error.hint, body.error.details);
  return body.result;
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("cancelled", "AbortError")); });
  });
}
