# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for the tags of machines."""

from __future__ import annotations

from .cloud import ApiError
from .commands import Request, command, filtered, may_see, owned_rows


def tagged_rows(request: Request) -> list[dict]:
    if request.need("resourcetype").lower() not in ("uservm", "virtualmachine"):
        raise ApiError(431, "The double tags machines only", 4350)
    request.need("resourceids")
    rows = []
    for identifier in request.names("resourceids"):
        row = request.cloud.by_id("machine", identifier)
        if row is None or not may_see(request.user, row):
            raise ApiError(431, f"Unable to find resource by id {identifier} and type UserVm", 4350)
        rows.append(row)
    return rows


@command("createTags", "job")
def create_tags(request: Request) -> tuple:
    cloud, rows, tags = request.cloud, tagged_rows(request), request.maps("tags")
    if not tags:
        raise ApiError(431, "Unable to execute API command createtags due to missing parameter tags", 4350)

    def finish() -> dict:
        with cloud.lock:
            for row in rows:
                for tag in tags:
                    if any(have["key"] == tag["key"] for have in row["tags"]):
                        raise ApiError(530, f"tag {tag['key']} already on UserVm with id {row['id']}")
            for row in rows:
                owner = {
                    key: row[key] for key in ("account", "domainid", "domain", "projectid", "project") if key in row
                }
                row["tags"] += [
                    {
                        "key": tag["key"],
                        "value": tag["value"],
                        "resourcetype": "UserVm",
                        "resourceid": row["id"],
                        **owner,
                    }
                    for tag in tags
                ]
            return {"success": True}

    return {}, rows[0]["name"], finish, lambda: None


@command("deleteTags", "job")
def delete_tags(request: Request) -> tuple:
    cloud, rows, tags = request.cloud, tagged_rows(request), request.maps("tags")

    def finish() -> dict:
        with cloud.lock:
            for row in rows:
                row["tags"] = [
                    have
                    for have in row["tags"]
                    if not any(
                        have["key"] == tag["key"] and tag.get("value", have["value"]) == have["value"] for tag in tags
                    )
                ]
            return {"success": True}

    return {}, rows[0]["name"], finish, lambda: None


@command("listTags", "list", "tag")
def list_tags(request: Request) -> list[dict]:
    rows = [
        {**tag, "id": row["id"], "resourceid": row["id"], "resourcetype": "UserVm"}
        for row in owned_rows(request, "machine")
        for tag in row.get("tags", [])
    ]
    return filtered(request, rows, ("key", "value", "resourceid"))
