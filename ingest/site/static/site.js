"use strict";
// Live without a library: asks every two seconds for the sections that have changed, and asks before it changes anything.

const prefix = document.body.dataset.prefix;
const live = document.getElementById("live");
const dialog = document.getElementById("ask");
const EVERY = 2000;

function local(root) {
  for (const time of root.querySelectorAll("time:not([data-done])")) {
    const moment = new Date(time.dateTime);
    time.title = time.textContent;
    time.textContent = "clock" in time.dataset ? moment.toLocaleTimeString() : moment.toLocaleString();
    time.dataset.done = "";
  }
}

function exchange(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const section of fresh.querySelectorAll("section[data-mark]")) {
    const old = document.getElementById(section.id);
    if (!old || old.dataset.mark === section.dataset.mark) continue;
    if (old.contains(document.activeElement) && document.activeElement.matches("input")) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.dataset.mark = section.dataset.mark;
    old.replaceChildren(...section.childNodes);
    local(old);
    if (focused) document.getElementById(focused)?.focus();
  }
}

function source() {
  const record = document.querySelector("section[data-request]");
  if (record) return `${prefix}/requests/${encodeURIComponent(record.dataset.request)}/live`;
  const have = [...document.querySelectorAll("section[data-mark]")].map((each) => each.dataset.mark).join(",");
  if (!have) return null;
  const query = new URLSearchParams(location.search);
  query.set("have", have);
  return `${prefix}/live?${query}`;
}

async function refresh() {
  try {
    const from = source();
    if (from === null) {
      if (document.querySelector("section[data-wait]")) location.reload();
      return;
    }
    const answer = await fetch(from, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`ingest says ${answer.status}`);
    exchange(await answer.text());
    live.className = "";
    live.textContent = "Live";
  } catch (error) {
    live.className = "lost";
    live.textContent = `Not live: ${error.message}`;
  }
}

async function post(path) {
  const answer = await fetch(prefix + path, { method: "POST", credentials: "same-origin" });
  const said = await answer.json().catch(() => ({ message: `ingest says ${answer.status}` }));
  return { ok: answer.ok, code: answer.status, message: said.message, id: said.id };
}

function added(path, name, value) {
  return `${path}${path.includes("?") ? "&" : "?"}${name}=${encodeURIComponent(value)}`;
}

async function foreseen(id) {
  const answer = await fetch(`${prefix}/requests/${encodeURIComponent(id)}/live`, { credentials: "same-origin" });
  if (!answer.ok) return [];
  const table = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("candidates");
  return table ? [table] : [];
}

function ask(text, label, shown = []) {
  document.getElementById("ask-text").textContent = text;
  const more = document.getElementById("ask-more");
  more.replaceChildren(...shown);
  if (label) {
    const input = document.createElement("input");
    input.id = "ask-input";
    input.maxLength = 200;
    const caption = document.createElement("label");
    caption.htmlFor = input.id;
    caption.textContent = label;
    more.append(caption, input);
  }
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function pressed(button) {
  let path = button.dataset.post;
  let text = button.dataset.ask || "";
  let shown = [];
  button.disabled = true;
  try {
    if ("dry" in button.dataset) {
      const dry = await post(added(added(path, "dry_run", "true"), "wait", "10"));
      text = dry.code === 400 ? `Not tried before (${dry.message}). Do it all the same?` : `A dry run says: ${dry.message}`;
      if (dry.id) shown = await foreseen(dry.id);
    }
    const sure = await ask(text, "reason" in button.dataset ? "Why, for whoever reads it (may stay empty)" : "", shown);
    if (!sure) return;
    const reason = document.getElementById("ask-input")?.value;
    if (reason) path = added(path, "reason", reason);
    const done = await post(path);
    if (done.ok && done.id) location.assign(`${prefix}/requests/${encodeURIComponent(done.id)}`);
    else await ask(done.message, "");
  } catch (error) {
    await ask(`It may not have been asked for: ${error.message}`, "");
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) pressed(button);
});
local(document);
setInterval(() => { if (!document.hidden && !dialog.open) refresh(); }, EVERY);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
live.textContent = "Live";
