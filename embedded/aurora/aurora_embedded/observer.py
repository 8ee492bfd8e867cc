# SPDX-License-Identifier: GPL-3.0-or-later
"""thermos_observer and thermos: the tasks of one agent and their sandboxes. The observer runs as root while sandboxes
belong to their users, so it opens every path one component at a time and follows no symbolic link."""

import argparse
import json
import logging
import os
import stat
import sys
import time
from pathlib import Path

from . import VERSION, web

LIMIT = 256 * 1024  # of one answer from a file
WITHOUT_EFFECT = (
    *("polling_interval_secs", "task_process_collection_interval_secs", "task_disk_collection_interval_secs"),
    *("agent_api_url", "executor_id_json_path", "disk_usage_json_path", "log_to_stderr", "log_to_disk", "log_dir"),
)


def open_below(base, parts):
    """A binary file, or a directory's descriptor as an int."""
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


def tasks(root):
    """task id -> (directory of its run, checkpoint), the newest first."""
    found = {}
    for run in Path(root).glob("slaves/*/frameworks/*/executors/thermos-*/runs/*"):
        if not run.is_symlink():  # `latest` is one
            try:
                with open_below(run, ["checkpoints", "task.json"]) as file:
                    task = json.load(file)
                found[task["taskId"]] = (run, {**task, "started": float(task["started"])})
            except (OSError, ValueError, LookupError, AttributeError, TypeError):
                logging.debug("no checkpoint in %s yet", run)
    return dict(sorted(found.items(), key=lambda item: -item[1][1]["started"]))


class Observer(web.Handler):
    root = None
    started = time.time()

    def route(self, method, parts, query):
        head, known = parts[0] if parts else "main", tasks(self.root)
        run, task = known.get(parts[1], (None, None)) if len(parts) > 1 else (None, None)
        if method == "POST":
            self.send(405, "GET only\n")
        elif head == "health":
            self.send(200, "OK")
        elif head in ("vars", "vars.json"):
            active = sum(task["state"] == "RUNNING" for _run, task in known.values())
            values = {
                "tasks_known": len(known),
                "tasks_active": active,
                "http_500_responses_events": self.server.errors,
            }
            self.send_vars(head, {**values, "version": VERSION, "uptime_secs": round(time.time() - self.started, 1)})
        elif head == "main":
            wanted = {"active": (True,), "finished": (False,)}.get(parts[1] if len(parts) > 1 else "all", (True, False))
            shown = [task for _run, task in known.values() if (task["state"] == "RUNNING") in wanted]
            self.send_page("tasks.html", tasks=shown[:500])
        elif not task or head not in ("task", "rawtask", "process", "file"):
            self.send(
                404, f"No such page, or no such task below --mesos-root {self.root}, which is the agent's work_dir\n"
            )
        elif head == "task":
            self.send_page("task.html", task=task)
        elif head == "rawtask":
            self.send_json(task)
        elif head == "process":
            shown = [process for process in task["processes"] if [process["name"]] == parts[2:]]
            self.send_page("process.html", task=task, process=shown[0]) if shown else self.send(
                404, "No such process\n"
            )
        else:
            self.file(run, parts[1], parts[2:], query)

    def file(self, run, task_id, parts, query):
        try:
            target = open_below(run, ["sandbox", *parts])
        except (OSError, ValueError):
            self.send(404, "No such file in the sandbox (symbolic links are not followed)\n")
            return
        if isinstance(target, int):
            try:
                infos = {
                    name: os.stat(name, dir_fd=target, follow_symlinks=False) for name in sorted(os.listdir(target))
                }
            finally:
                os.close(target)
            files = [
                {"name": n, "mode": stat.filemode(i.st_mode), "size": i.st_size, "changed": i.st_mtime}
                for n, i in infos.items()
            ]
            self.send_page("files.html", task_id=task_id, path="/".join(parts), files=files)
            return
        with target:  # its end, or what ?offset=&length= ask for; always as text, because it is its user's
            size = os.fstat(target.fileno()).st_size
            numbers = {name: int(text) for name, text in query.items() if text.isdecimal()}
            length = min(numbers.get("length", LIMIT), LIMIT)
            target.seek(min(numbers.get("offset", max(size - length, 0)), size))
            self.send(200, target.read(length), **{"X-File-Size": str(size)})


def observe():
    parser = argparse.ArgumentParser(prog="thermos_observer", allow_abbrev=False)
    parser.add_argument("--mesos-root", default="/var/lib/mesos", help="the agent's work_dir")
    parser.add_argument("--ip", default="0.0.0.0")  # noqa: S104 - upstream's default
    parser.add_argument("--port", type=int, default=1338)
    for name in WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", help="no effect: nothing is polled, and the log goes to stderr")
    parser.add_argument("--disable_task_resource_collection", action="store_true", help="always so")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    server = web.Server(options.ip, options.port, type("Root", (Observer,), {"root": options.mesos_root}))
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
    options = parser.parse_args()
    known = tasks(options.mesos_root)
    if options.task and options.task not in known:
        sys.exit(f"thermos: no task {options.task} below {options.mesos_root}")
    if options.verb == "status":
        for task_id in [options.task] if options.task else known:
            task = known[task_id][1]
            print(
                task_id,
                task["state"],
                task["user"],
                *(f"{p['name']}:{p['state']}" for p in task["processes"]),
                sep="\t",
            )
        return
    run, task = known[options.task]
    number = max((len(p["runs"]) for p in task["processes"] if p["name"] == options.process), default=0) - 1
    if number < 0:
        sys.exit(f"thermos: no output of a process {options.process} yet")
    with open_below(run, ["sandbox", ".logs", options.process, str(number), "stdout"]) as file:
        sys.stdout.buffer.write(file.read()[-LIMIT:])
