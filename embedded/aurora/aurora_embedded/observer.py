# SPDX-License-Identifier: GPL-3.0-or-later
"""thermos_observer: the tasks of one agent and their sandboxes, over HTTP. It runs as root and sandboxes belong to their
users, so it follows no symbolic link and opens every path one component at a time."""

import argparse
import json
import logging
import os
import re
import stat
import sys
import time
from pathlib import Path

from . import VERSION, web

TAIL = 256 * 1024
NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")


def tasks(root):
    """task id -> (directory of its newest run, checkpoint)."""
    found = {}
    for run in Path(root).glob("slaves/*/frameworks/*/executors/thermos-*/runs/*"):
        task_id = run.parts[-3].removeprefix("thermos-")
        if run.name == "latest" or run.is_symlink():
            continue
        try:
            with opened(run, ["checkpoints", "task.json"]) as file:
                checkpoint = json.load(file)
        except (OSError, ValueError):
            continue
        if task_id not in found or found[task_id][1]["started"] < checkpoint["started"]:
            found[task_id] = (run, checkpoint)
    return found


def opened(base, parts):
    """The file or directory base/parts: a binary file object, or a directory's descriptor as an int."""
    handle = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        try:
            if part in ("", ".", "..") or "/" in part or "\0" in part:
                raise FileNotFoundError(part)
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inner
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        return handle
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise FileNotFoundError("not a plain file")
    return os.fdopen(handle, "rb")


def when(seconds):
    return time.strftime("%F %T", time.gmtime(seconds)) if seconds else ""


class Observer(web.Handler):
    root = None
    started = time.time()

    def route(self, method, parts, query):
        head = parts[0] if parts else "main"
        if method != "GET":
            self.send(405, "GET only\n", Allow="GET, HEAD")
        elif head == "health":
            self.send(200, "OK")
        elif head in ("vars", "vars.json"):
            states = [c["state"] for _run, c in tasks(self.root).values()]
            self.send_vars({"uptime_secs": round(time.time() - self.started, 1), "version": VERSION, "tasks_known": len(states),
                            "tasks_active": states.count("RUNNING"), "http_500_responses_events": self.server.errors}, head == "vars.json")
        elif head == "main":
            self.send(200, self.main(parts[1] if len(parts) > 1 else None))
        elif head in ("task", "rawtask", "process", "browse", "file") and len(parts) > 1 and NAME.fullmatch(parts[1]):
            run, checkpoint = tasks(self.root).get(parts[1], (None, None))
            if run is None:
                self.send(404, f"No task {parts[1]} below {self.root} (--mesos-root must be the agent's work_dir)\n")
            elif head == "rawtask":
                self.send(200, checkpoint)
            elif head == "task":
                self.send(200, self.task(parts[1], checkpoint))
            elif head == "process":
                shown = [p for p in checkpoint["processes"] if p["name"] == "/".join(parts[2:3])]
                self.send(*((200, self.process(parts[1], shown[0])) if shown else (404, "No such process\n")))
            else:
                self.files(run, parts, query)
        else:
            self.send(404, "No such page\n")

    def main(self, kind):
        rows = [[web.link(f"/task/{i}", i), web.status(c["state"]), c["user"], when(c["started"]), len(c["processes"])]
                for i, (_run, c) in sorted(tasks(self.root).items(), key=lambda item: -item[1][1]["started"])
                if kind in (None, "all") or (c["state"] == "RUNNING") == (kind == "active")]
        return web.page("Thermos observer", web.table(["Task", "State", "User", "Started (UTC)", "Processes"], rows[:500]),
                        trail=[("/main", "all"), ("/main/active", "active"), ("/main/finished", "finished")])

    def task(self, task_id, checkpoint):
        rows = [[web.link(f"/process/{task_id}/{web.quote(p['name'])}", p["name"]), web.status(p["state"]), len(p["runs"]), p["failures"],
                 self.logs(task_id, p["name"], p["runs"][-1]["number"]) if p["runs"] else ""] for p in checkpoint["processes"]]
        facts = [["State", web.status(checkpoint["state"])], ["User", checkpoint["user"]], ["Host", checkpoint["host"]],
                 ["Started (UTC)", when(checkpoint["started"])], ["Sandbox", web.link(f"/browse/{task_id}", "browse files")]]
        return web.page(f"Task {task_id}", web.table(["", ""], facts), web.Raw("<h2>Processes</h2>"),
                        web.table(["Process", "State", "Runs", "Failures", "Output"], rows), trail=[("/main", "tasks")])

    @staticmethod
    def logs(task_id, process, number):
        base = f"/file/{task_id}/.logs/{web.quote(process)}/{number}"
        return web.Raw(f"{web.link(base + '/stdout', 'stdout')} {web.link(base + '/stderr', 'stderr')}")

    def process(self, task_id, process):
        rows = [[r["number"], when(r["start"]), when(r["stop"]), "" if r["code"] is None else r["code"],
                 self.logs(task_id, process["name"], r["number"])] for r in reversed(process["runs"])]
        return web.page(f"Process {process['name']}", web.status(process["state"]), web.Raw(f"<pre>{web.escape(process['cmdline'])}</pre>"),
                        web.table(["Run", "Start (UTC)", "End (UTC)", "Exit", "Output"], rows),
                        trail=[("/main", "tasks"), (f"/task/{task_id}", task_id)])

    def files(self, run, parts, query):
        task_id, inner = parts[1], parts[2:]
        try:
            target = opened(run, ["sandbox", *inner])
        except (OSError, ValueError):
            self.send(404, "No such file in the sandbox (symbolic links are not followed)\n")
            return
        if isinstance(target, int):
            try:
                names = sorted(os.listdir(target))
                infos = {n: os.stat(n, dir_fd=target, follow_symlinks=False) for n in names}
            finally:
                os.close(target)
            here = "/".join(map(web.quote, inner))
            rows = [[name if stat.S_ISLNK(i.st_mode) else
                     web.link(f"/{'browse' if stat.S_ISDIR(i.st_mode) else 'file'}/{task_id}/{here + '/' if here else ''}{web.quote(name)}", name),
                     stat.filemode(i.st_mode), i.st_size, when(i.st_mtime)] for name, i in infos.items()]
            self.send(200, web.page("/" + "/".join(inner), web.table(["Name", "Mode", "Bytes", "Changed (UTC)"], rows),
                                    trail=[("/main", "tasks"), (f"/task/{task_id}", task_id), (f"/browse/{task_id}", "sandbox")]))
            return
        with target:  # the end of it; ?offset=N&length=M for another part. Always as text: the content is its user's
            size = os.fstat(target.fileno()).st_size
            length = min(max(int(query.get("length", TAIL)), 0), TAIL)
            target.seek(min(max(int(query.get("offset", max(size - length, 0))), 0), size))
            self.send(200, target.read(length), "text/plain; charset=utf-8", X_File_Size=size)


def observe():
    parser = argparse.ArgumentParser(prog="thermos_observer", allow_abbrev=False)
    parser.add_argument("--mesos-root", default="/var/lib/mesos", help="the agent's work_dir")
    parser.add_argument("--ip", default="0.0.0.0")  # noqa: S104 - upstream's default
    parser.add_argument("--port", type=int, default=1338)
    for name in ("polling_interval_secs", "task_process_collection_interval_secs", "task_disk_collection_interval_secs",
                 "agent_api_url", "executor_id_json_path", "disk_usage_json_path", "log_to_stderr", "log_to_disk", "log_dir"):
        parser.add_argument(f"--{name}", help="accepted, no effect: nothing is polled, and the log goes to stderr")
    parser.add_argument("--disable_task_resource_collection", action="store_true", help="accepted, always so")
    parser.add_argument("--enable_mesos_disk_collector", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.enable_mesos_disk_collector:
        parser.error("--enable_mesos_disk_collector is not supported by the embedded observer")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = web.Server(options.ip, options.port, type("Handler", (Observer,), {"root": options.mesos_root}))
    logging.info("observer %s on %s:%s, reading %s", VERSION, options.ip, server.server_port, options.mesos_root)
    server.serve_forever()


def command():
    """thermos status [TASK] | tail TASK PROCESS."""
    parser = argparse.ArgumentParser(prog="thermos")
    parser.add_argument("--mesos-root", default=os.environ.get("MESOS_ROOT", "/var/lib/mesos"))
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("status").add_argument("task", nargs="?")
    tail = verbs.add_parser("tail")
    tail.add_argument("task")
    tail.add_argument("process")
    tail.add_argument("--stderr", action="store_true")
    options = parser.parse_args()
    known = tasks(options.mesos_root)
    if options.task and options.task not in known:
        sys.exit(f"thermos: no task {options.task} below {options.mesos_root}")
    if options.verb == "status":
        for task_id, (_run, checkpoint) in sorted(known.items()):
            if options.task in (None, task_id):
                processes = ", ".join(f"{p['name']}: {p['state']}" for p in checkpoint["processes"])
                print(f"{task_id}\t{checkpoint['state']}\t{checkpoint['user']}\t{processes}")
        return
    run, checkpoint = known[options.task]
    runs = [p["runs"] for p in checkpoint["processes"] if p["name"] == options.process]
    if not runs or not runs[0]:
        sys.exit(f"thermos: no output of a process {options.process} yet")
    name = "stderr" if options.stderr else "stdout"
    with opened(run, ["sandbox", ".logs", options.process, str(runs[0][-1]["number"]), name]) as file:
        sys.stdout.buffer.write(file.read()[-TAIL:])
