// SPDX-License-Identifier: GPL-3.0-or-later
"use strict";

const GOOD = new Set(["TASK_RUNNING", "TASK_FINISHED"]);
const BAD = new Set(["TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE", "TASK_UNREACHABLE"]);
const ENDED_SHOWN = 50;

function use(used, total, unit) {
  const cell = element("div", {}, unit(used) + " of " + unit(total));
  if (total) cell.append(element("progress", { value: used, max: total }));
  return ["use", cell];
}

function cores(amount) {
  return String(Math.round(amount * 100) / 100);
}

function agentState(agent) {
  if (agent.active) return ["good", "active"];
  return ["warn", agent.deactivated ? "deactivated" : "disconnected"];
}

function frameworkState(framework) {
  if (framework.active) return ["good", "active"];
  return ["warn", framework.connected ? "inactive" : "disconnected"];
}

function lastChange(task) {
  return task.statuses.length ? task.statuses[task.statuses.length - 1].timestamp : 0;
}

function taskState(task) {
  const last = task.statuses[task.statuses.length - 1] || {};
  const kind = GOOD.has(task.state) ? "good" : BAD.has(task.state) ? "bad" : "warn";
  return [kind, element("span", { title: last.message || "" }, task.state.replace("TASK_", ""))];
}

function sandbox(task, agents) {
  if (!agents.has(task.slave_id)) return "";
  const where = new URLSearchParams({
    agent: task.slave_id,
    framework: task.framework_id,
    executor: task.executor_id || task.id, // a command task's executor is named after the task
  });
  return link("/app/sandbox.html?" + where, "sandbox");
}

function taskRows(tasks, agents, frameworks) {
  return tasks.sort((a, b) => lastChange(b) - lastChange(a)).map((task) => [
    task.name,
    ["id", task.id],
    frameworks.get(task.framework_id) || task.framework_id,
    taskState(task),
    (agents.get(task.slave_id) || {}).hostname || task.slave_id,
    time(lastChange(task)),
    sandbox(task, agents),
  ]);
}

function showLeader(state) {
  const info = state.leader_info;
  const place = document.getElementById("leader");
  if (!info) {
    place.textContent = "No master leads at the moment.";
    return;
  }
  const address = info.hostname + ":" + info.port;
  place.replaceChildren("Led by ", link(location.protocol + "//" + address + "/", address),
    " since " + time(state.elected_time));
}

function showTotals(state, tasks) {
  const sum = (key, name) => state.slaves.reduce((total, agent) => total + (agent[key][name] || 0), 0);
  const totals = {
    "Agents": state.slaves.filter((agent) => agent.active).length + " active",
    "Tasks": String(tasks.length),
    "CPUs": cores(sum("used_resources", "cpus")) + " of " + cores(sum("resources", "cpus")),
    "Memory": megabytes(sum("used_resources", "mem")) + " of " + megabytes(sum("resources", "mem")),
    "Disk": megabytes(sum("used_resources", "disk")) + " of " + megabytes(sum("resources", "disk")),
  };
  document.getElementById("totals").replaceChildren(...Object.entries(totals).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

function showState(state) {
  const agents = new Map(state.slaves.map((agent) => [agent.id, agent]));
  const frameworks = [...state.frameworks, ...state.completed_frameworks];
  const names = new Map(frameworks.map((framework) => [framework.id, framework.name]));
  const all = (key) => frameworks.flatMap((framework) => framework[key] || []);
  const tasks = [...all("tasks"), ...all("unreachable_tasks")];
  const ended = all("completed_tasks").sort((a, b) => lastChange(b) - lastChange(a)).slice(0, ENDED_SHOWN);

  document.getElementById("cluster").textContent = state.cluster || "";
  document.title = (state.cluster ? state.cluster + " – " : "") + "Mesos";
  document.getElementById("version").textContent = "Mesos " + state.version;
  showLeader(state);
  showTotals(state, tasks);
  fill("agents", ["Host", "State", "CPUs", "Memory", "Disk", "Registered", "ID"], state.slaves.map((agent) => [
    agent.hostname,
    agentState(agent),
    use(agent.used_resources.cpus, agent.resources.cpus, cores),
    use(agent.used_resources.mem, agent.resources.mem, megabytes),
    use(agent.used_resources.disk, agent.resources.disk, megabytes),
    time(agent.reregistered_time || agent.registered_time),
    ["id", agent.id],
  ]), "No agent is registered.");
  fill("frameworks", ["Name", "State", "Tasks", "User", "Registered", "ID"], state.frameworks.map((framework) => [
    framework.webui_url ? link(framework.webui_url, framework.name) : framework.name,
    frameworkState(framework),
    String(framework.tasks.length),
    framework.user,
    time(framework.reregistered_time || framework.registered_time),
    ["id", framework.id],
  ]), "No framework is registered.");
  const titles = ["Name", "ID", "Framework", "State", "Host", "Since", ""];
  fill("tasks", titles, taskRows(tasks, agents, names), "No task.");
  fill("ended", titles, taskRows(ended, agents, names), "No task has ended.");
}

// A master that does not lead redirects /state to the one that does, but its own metrics it answers itself.
async function showStandby() {
  const metrics = await ask("/metrics/snapshot");
  const standby = metrics["master/elected"] !== 1;
  show("standby", standby ? "This master (" + location.host + ") does not lead; what follows is the leader's state. " : "");
  if (standby) document.getElementById("standby").append(link("/master/redirect", "Go to the leader"));
}

repeat(async () => {
  try {
    await showStandby();
  } catch (error) {
    throw new Error("The master at " + location.host + " does not answer: " + error.message);
  }
  try {
    showState(await ask("/state"));
  } catch (error) {
    throw new Error("The leading master's state could not be read: " + error.message);
  }
});
