# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of commands, and what commands share: parameters, owners, filters, pages."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import Callable

from .cloud import ApiError, Cloud, User, public
from .world import DOMAIN

COMMANDS: dict[str, Command] = {}


@dataclasses.dataclass
class Command:
    name: str
    kind: str  # list, call or job
    key: str  # of the rows in a list's answer
    function: Callable


@dataclasses.dataclass
class Request:
    cloud: Cloud
    user: User
    params: dict[str, str]  # names in small letters
    method: str = "GET"

    def get(self, name: str) -> str | None:
        return self.params.get(name)

    def need(self, name: str) -> str:
        value = self.params.get(name)
        if not value:
            raise ApiError(431, f"Unable to execute API command due to missing parameter {name}", 4350)
        return value

    def number(self, name: str) -> int | None:
        value = self.params.get(name)
        try:
            return None if value is None else int(value)
        except ValueError:
            raise ApiError(
                431, f"Unable to execute API command due to invalid value {value} for {name}", 4350
            ) from None

    def flag(self, name: str) -> bool:
        return self.params.get(name, "").lower() == "true"

    def names(self, name: str) -> list[str]:
        return [part for part in self.params.get(name, "").split(",") if part]

    def maps(self, name: str) -> list[dict[str, str]]:
        """Return what name[0].key=…&name[0].value=… stands for."""
        found: dict[int, dict[str, str]] = {}
        for param, value in self.params.items():
            if match := re.fullmatch(re.escape(name) + r"\[(\d+)\]\.(\w+)", param):
                found.setdefault(int(match[1]), {})[match[2]] = value
        return [found[index] for index in sorted(found)]

    def base64(self, name: str, limit: int) -> str | None:
        value = self.params.get(name)
        if value is None:
            return None
        try:
            decoded = base64.b64decode(value, validate=True)
        except ValueError:
            raise ApiError(431, f"{name} is not base64 encoded", 4350) from None
        if len(decoded) > limit:
            raise ApiError(431, f"User data has exceeded maximum length of {limit} bytes", 4350)
        return value

    def row(self, kind: str, name: str) -> dict:
        """Return the row whose id a parameter holds, if the user may see it."""
        value = self.need(name)
        row = self.cloud.by_id(kind, value)
        if row is None or not (kind in SHARED or may_see(self.user, row)):
            raise ApiError(
                431,
                f"Unable to execute API command {kind} due to invalid value. Invalid parameter {name} value={value} due "
                "to incorrect long value format, or entity does not exist or due to incorrect parameter annotation for "
                "the field in api cmd class.",
                9999,
            )
        return row

    def owner(self) -> dict:
        """Return who will own what this request makes."""
        if "projectid" not in self.params:
            return {"account": self.user.account, **DOMAIN}
        project = self.project()
        return {"projectid": project["id"], "project": project["name"], **DOMAIN}

    def project(self) -> dict:
        row = self.cloud.by_id("project", self.params["projectid"])
        if row is None or row["name"] not in self.user.projects:
            raise ApiError(431, f"Unable to find project by id {self.params['projectid']}", 4350)
        return row


# Seen by everyone.
SHARED = ("zone", "template", "offering")


def command(name: str, kind: str = "call", key: str = "") -> Callable:
    def register(function: Callable) -> Callable:
        COMMANDS[name.lower()] = Command(name, kind, key, function)
        return function

    return register


def may_see(user: User, row: dict) -> bool:
    if "project" in row:
        return row["project"] in user.projects
    return user.admin or "account" not in row or row["account"] == user.account


def owned_rows(request: Request, kind: str) -> list[dict]:
    """Return the rows in the reach of a listing: one's own, a project's, all projects' (-1), or all with listall."""
    user, rows = request.user, request.cloud.rows[kind]
    if "projectid" in request.params:
        if request.params["projectid"] == "-1":
            return [row for row in rows if row.get("project") in user.projects]
        name = request.project()["name"]
        return [row for row in rows if row.get("project") == name]
    rows = [row for row in rows if "project" not in row]
    if account := request.get("account"):
        request.need("domainid")
        return [row for row in rows if row.get("account") == account and may_see(user, row)]
    if user.admin and request.flag("listall"):
        return rows
    return [row for row in rows if row.get("account", user.account) == user.account]


def filtered(request: Request, rows: list[dict], equal: tuple[str, ...] = ()) -> list[dict]:
    """Apply the filters that many listings share: id, ids, keyword, tags, and those that name a field."""
    for name in ("id", *equal):
        if (value := request.get(name)) is not None:
            rows = [row for row in rows if str(row.get(name, "")).lower() == value.lower()]
    if ids := request.names("ids"):
        rows = [row for row in rows if row["id"] in ids]
    if keyword := request.get("keyword"):
        rows = [row for row in rows if keyword.lower() in str(row.get("name", "")).lower()]
    for tag in request.maps("tags"):
        wanted = {name: tag[name] for name in ("key", "value") if name in tag}
        rows = [row for row in rows if any(wanted.items() <= have.items() for have in row.get("tags", []))]
    return rows


def page_of(request: Request, rows: list, largest: int) -> list:
    """Cut out the page that was asked for. Without one, the server's own maximum is all there is."""
    page, size = request.number("page"), request.number("pagesize")
    if size is not None and page is None:
        raise ApiError(431, '"page" parameter is required when "pagesize" is specified', 9999)
    if page is not None and size is None:
        raise ApiError(431, '"pagesize" parameter is required when "page" is specified', 9999)
    if page is None or size is None:
        return rows[:largest]
    if size > largest or size < 1:
        raise ApiError(431, f"Page size can't exceed max allowed page size value: {largest}", 9999)
    return rows[(page - 1) * size : page * size]


def listing(request: Request, found: Command, largest: int) -> dict:
    rows = found.function(request)
    if not rows:
        return {}
    answer: dict = {"count": len(rows)}
    if page := page_of(request, rows, largest):
        answer[found.key] = [public(row) for row in page]
    return answer
