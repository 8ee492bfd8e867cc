# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server that speaks CloudStack's API, for tests. The README tells what it can do and what is guessed."""

from __future__ import annotations

from pathlib import Path

from .cloud import Cloud, Fault, User
from .instances import add_machine
from .server import Server, Throttle, serve
from .world import add_users, populate

__all__ = ["Cloud", "Double", "Fault", "Throttle", "User"]


class Double:
    """A running server: `with Double(page_size=3) as double: …`.

    cloud       its state: rows, users, calls (how often each command came), faults
    endpoint    where it answers
    intercept   set on `server`: a function of (command, params) that may answer instead, or be slow
    alter       set on `server`: a function of (command, answer) that may return another answer
    """

    def __init__(
        self,
        port: int = 0,
        address: str = "127.0.0.1",
        page_size: int = 500,
        seconds: dict | None = None,
        throttle: Throttle | None = None,
        hardened: bool = False,
        answers: str = "cloudstack",
        hosting=None,
        state: Path | None = None,
    ) -> None:
        self.cloud = Cloud(hosting, seconds, state)
        add_users(self.cloud)
        if not self.cloud.load():
            populate(self.cloud, hosting.network if hosting else None)
            self.cloud.save()
        self.server = Server((address, port), self.cloud, page_size, throttle, hardened, answers)
        self.endpoint = f"http://{address}:{self.server.server_address[1]}/client/api"

    def __enter__(self) -> Double:
        self.thread = serve(self.server)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def options(self, user: str = "alice") -> dict:
        """What a client needs to be that user."""
        return {"endpoint": self.endpoint, "key": f"{user}-key", "secret": f"{user}-secret"}

    def environment(self, user: str = "alice") -> dict[str, str]:
        return {f"CLOUDSTACK_{name.upper()}": value for name, value in self.options(user).items()}

    def add_machine(self, name: str, **fields) -> dict:
        """Put a running machine there without a deployment; see `instances.add_machine`."""
        return add_machine(self.cloud, name, **fields)

    def machine(self, name: str) -> dict:
        found = [row for row in self.cloud.rows["machine"] if row["name"] == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} machines are called {name}")
        return found[0]
