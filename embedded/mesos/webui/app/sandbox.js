// SPDX-License-Identifier: GPL-3.0-or-later
// The files of one executor's sandbox, read from its agent. The page's address names the agent by its id and never by
// an address of its own: a forged link must not make this page run another host's answer as a script.
"use strict";

const TAIL = 20000;
const TAILED = ["stdout", "stderr"];
const query = new URLSearchParams(location.search);
const root = "/frameworks/" + query.get("framework") + "/executors/" + query.get("executor") + "/runs/latest";
const path = query.get("path") || root;
let base = null;

async function findAgent() {
  const { slaves } = await ask("/slaves", { slave_id: query.get("agent") });
  if (!slaves.length) throw new Error("Agent " + query.get("agent") + " is not registered.");
  const [agent] = slaves;
  document.getElementById("where").textContent = "on " + agent.hostname;
  const failed = [];
  for (const address of addresses(agent)) {
    try {
      await ask(address + "/version");
      return address;
    } catch {
      failed.push(address);
    }
  }
  throw new Error("The agent does not answer at " + failed.join(" or "));
}

async function tail(file) {
  const { offset: size } = await ask(base + "/files/read", { path: file, offset: -1 });
  const offset = Math.max(0, size - TAIL);
  const { data } = await ask(base + "/files/read", { path: file, offset, length: TAIL });
  return (offset ? "… " + offset + " bytes before\n" : "") + data;
}

function isDirectory(file) {
  return file.mode.startsWith("d");
}

function basename(file) {
  return file.path.split("/").pop();
}

function fileLink(file) {
  if (isDirectory(file)) {
    const inside = new URLSearchParams(query);
    inside.set("path", file.path);
    return link("?" + inside, basename(file) + "/");
  }
  return link(base + "/files/download?" + new URLSearchParams({ path: file.path }), basename(file));
}

async function showTail(file) {
  const id = "tail-" + basename(file);
  const text = await tail(file.path);
  let place = document.getElementById(id);
  if (!place) {
    place = element("pre", { id });
    document.getElementById("tails").append(element("section", {}, element("h2", {}, basename(file)), place));
  }
  if (place.textContent === text) return;
  const atEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 4;
  place.textContent = text;
  if (atEnd) place.scrollTop = place.scrollHeight;
}

repeat(async () => {
  base = base || await findAgent();
  let files;
  try {
    files = await ask(base + "/files/browse", { path });
  } catch (error) {
    base = null; // the agent may have come back elsewhere
    throw new Error("The sandbox could not be read (" + error.message + "); an ended task's is kept for a while only");
  }
  document.getElementById("path").textContent = path === root ? "" : path.slice(root.length);
  fill("files", ["Name", "Size", "Changed", "Mode", "Owner"], files.map((file) => [
    fileLink(file), isDirectory(file) ? "" : file.size + " B", time(file.mtime), file.mode, file.uid,
  ]), "Empty.");
  for (const file of files.filter((f) => TAILED.includes(basename(f)))) await showTail(file);
});
