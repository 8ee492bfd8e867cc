// SPDX-License-Identifier: GPL-3.0-or-later
// What both pages share. Text from the cluster only ever becomes a text node: names of tasks are anybody's.
"use strict";

const REFRESH = 3000;

// Mesos sends no CORS headers, and a master that does not lead redirects to another host; JSONP is what it offers.
let calls = 0;
function ask(url, parameters = {}) {
  return new Promise((resolve, reject) => {
    const callback = "mesosAnswer" + calls++;
    const script = document.createElement("script");
    const end = (settle, value) => {
      clearTimeout(timer);
      script.remove();
      // A late answer must still find its function.
      window[callback] = () => { delete window[callback]; };
      settle(value);
    };
    const timer = setTimeout(() => end(reject, new Error("no answer within 10 s")), 10000);
    window[callback] = (answer) => end(resolve, answer);
    script.onerror = () => end(reject, new Error("no answer"));
    script.src = url + "?" + new URLSearchParams({ ...parameters, jsonp: callback });
    document.head.append(script);
  });
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A framework names its own web interface: only an address of the web becomes a link.
function link(url, text) {
  let parsed;
  try { parsed = new URL(url, location.href); } catch { return text; }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") return text;
  return element("a", { href: parsed.href, rel: "noreferrer" }, text);
}

function show(id, text) {
  const place = document.getElementById(id);
  place.textContent = text;
  place.hidden = !text;
}

// Fills a table with cells: a string, a node, or [class, string or node].
function fill(id, titles, rows, empty) {
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) =>
    Array.isArray(cell) ? element("td", { class: cell[0] }, cell[1]) : element("td", {}, cell))));
  if (!rows.length) body.push(element("tr", {}, element("td", { class: "empty", colspan: titles.length }, empty)));
  document.getElementById(id).replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

function time(seconds) {
  return seconds ? new Date(seconds * 1000).toLocaleString() : "";
}

function megabytes(amount) {
  return amount >= 1024 ? (amount / 1024).toFixed(1) + " GB" : Math.round(amount) + " MB";
}

// The addresses to reach an agent at: its name, and the address it registered with should the name not resolve here.
function addresses(agent) {
  return [...new Set([agent.hostname + ":" + agent.port, agent.pid.split("@").pop()])]
    .map((address) => location.protocol + "//" + address);
}

// Asks again and again, one question at a time, and keeps the last answer on the page while an error is shown.
async function repeat(refresh) {
  for (;;) {
    try {
      await refresh();
      show("error", "");
    } catch (error) {
      show("error", error.message + " (" + new Date().toLocaleTimeString() + "); trying again.");
    }
    await new Promise((done) => setTimeout(done, REFRESH));
  }
}
