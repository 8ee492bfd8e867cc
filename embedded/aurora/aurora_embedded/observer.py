# SPDX-License-Identifier: GPL-3.0-or-later
"""thermos_observer and thermos: the tasks of one agent and their sandboxes. The observer runs as root while sandboxes
belong to their users, so it opens every path one component at a time and follows no symbolic link."""

import argparse
import json
import logging
import os
import stat
import time
from pathlib import Path

from . import VERSION, flags, web

LIMIT = 256 * 1024  # of a file's end that is shown
# Upstream's flags about polling and measuring, which does not happen here, and about its log, which goes to stderr.
WITHOUT_EFFECT = """
    polling_interval_secs task_process_collection_interval_secs task_disk_collection_interval_secs agent_api_url
    executor_id_json_path disk_usage_json_path disable_task_resource_collection enable_mesos_disk_collector
    log_to_stderr log_to_disk log_dir
"""


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
                found[task["taskId"]] = (run, task)
            except (OSError, ValueError):
                logging.debug("no checkpoint in %s yet", run)
    return dict(sorted(found.items(), key=lambda item: -item[1][1]["started"]))


class Observer(web.Handler):
    root, started = None, time.time()
    home = "main"

    def find(self, parts):
        found = tasks(self.root).get(parts[0] if parts else None)
        if not found:
            raise web.Problem(404, f"No such task below --mesos-root {self.root}, which is the agent's work_dir")
        return found

    def metrics(self):
        states = [task["state"] for _run, task in tasks(self.root).values()]
        values = {"tasks_known": len(states), "tasks_active": states.count("RUNNING"), "version": VERSION}
        values["http_500_responses_events"] = self.server.errors
        return {**values, "uptime_secs": round(time.time() - self.started, 1)}

    def get_main(self, parts):
        shown = {"active": ("RUNNING",), "finished": ("SUCCESS", "FAILED", "KILLED")}.get("".join(parts[:1]))
        found = [task for _run, task in tasks(self.root).values() if not shown or task["state"] in shown]
        self.send_page("tasks.html", tasks=found[:500])

    def get_task(self, parts):
        self.send_page("task.html", task=self.find(parts)[1])

    def get_rawtask(self, parts):
        self.send_json(self.find(parts)[1])

    def get_file(self, parts):
        run, _task = self.find(parts)
        try:
            target = open_below(run, ["sandbox", *parts[1:]])
        except OSError:
            raise web.Problem(404, "No such file in the sandbox (symbolic links are not followed)") from None
        if isinstance(target, int):
            try:
                infos = [(n, os.stat(n, dir_fd=target, follow_symlinks=False)) for n in sorted(os.listdir(target))]
            finally:
                os.close(target)
            files = [(name, stat.filemode(info.st_mode), info.st_size, info.st_mtime) for name, info in infos]
            self.send_page("files.html", task_id=parts[0], path="/".join(parts[1:]), files=files)
            return
        with target:  # always as text, because it is its user's
            target.seek(max(os.fstat(target.fileno()).st_size - LIMIT, 0))
            self.send(200, target.read(LIMIT))


def main():
    parser = argparse.ArgumentParser(prog="thermos_observer", allow_abbrev=False)
    parser.add_argument("--mesos-root", default="/var/lib/mesos", help="the agent's work_dir")
    parser.add_argument("--ip", default="0.0.0.0")  # noqa: S104 - upstream's default
    parser.add_argument("--port", type=int, default=1338)
    flags.accept(parser, WITHOUT_EFFECT)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler = type("Handler", (Observer,), {"root": options.mesos_root})
    server = web.Server((options.ip, options.port), handler)
    logging.info("observer %s on %s:%s, reading %s", VERSION, options.ip, server.server_port, options.mesos_root)
    server.serve_forever()


def status():
    """The program thermos."""
    parser = argparse.ArgumentParser(prog="thermos", allow_abbrev=False)
    parser.add_argument("--mesos-root", default=os.environ.get("MESOS_ROOT", "/var/lib/mesos"))
    parser.add_argument("command", choices=["status"])
    for task_id, (_run, task) in tasks(parser.parse_args().mesos_root).items():
        print(task_id, task["state"], task["user"], *(f"{p['name']}:{p['state']}" for p in task["processes"]), sep="\t")
