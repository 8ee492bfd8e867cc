# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that only list: what the cloud offers, jobs, addresses and forwardings."""

from __future__ import annotations

from .cloud import ApiError, public
from .commands import Request, command, filtered, may_see, owned_rows


@command("listZones", "list", "zone")
def list_zones(request: Request) -> list[dict]:
    return filtered(request, request.cloud.rows["zone"], ("name", "networktype"))


@command("listServiceOfferings", "list", "serviceoffering")
def list_offerings(request: Request) -> list[dict]:
    return filtered(request, request.cloud.rows["offering"], ("name",))


@command("listTemplates", "list", "template")
def list_templates(request: Request) -> list[dict]:
    allowed = ("featured", "self", "selfexecutable", "sharedexecutable", "executable", "community", "all")
    if request.need("templatefilter").lower() not in allowed:
        raise ApiError(431, f"Invalid template filter: {request.get('templatefilter')}", 4350)
    if request.params["templatefilter"].lower() == "all" and not request.user.admin:
        raise ApiError(431, "Filter all can be specified by admin only", 4350)
    return filtered(request, request.cloud.rows["template"], ("name", "zoneid"))


@command("listNetworks", "list", "network")
def list_networks(request: Request) -> list[dict]:
    rows = request.cloud.rows["network"]
    if "projectid" in request.params:
        rows = (
            [row for row in rows if "project" in row]
            if request.params["projectid"] == "-1"
            else owned_rows(request, "network")
        )
    else:
        rows = [row for row in rows if may_see(request.user, row)]
    return filtered(request, rows, ("zoneid", "type"))


@command("listProjects", "list", "project")
def list_projects(request: Request) -> list[dict]:
    rows = [row for row in request.cloud.rows["project"] if row["name"] in request.user.projects]
    return filtered(request, rows, ("name", "domainid"))


@command("listDomains", "list", "domain")
def list_domains(request: Request) -> list[dict]:
    return filtered(request, request.cloud.rows["domain"], ("name",))


@command("listPublicIpAddresses", "list", "publicipaddress")
def list_addresses(request: Request) -> list[dict]:
    rows = owned_rows(request, "publicipaddress")
    return filtered(request, rows, ("ipaddress", "zoneid", "associatednetworkid", "isstaticnat"))


@command("listPortForwardingRules", "list", "portforwardingrule")
def list_forwardings(request: Request) -> list[dict]:
    return filtered(request, owned_rows(request, "portforwardingrule"), ("ipaddressid", "networkid"))


@command("listNics", "list", "nic")
def list_nics(request: Request) -> list[dict]:
    machine = request.row("machine", "virtualmachineid")
    return filtered(request, machine.get("nic", []), ("networkid",))


@command("queryAsyncJobResult")
def query_job(request: Request) -> dict:
    job = request.cloud.jobs.get(request.need("jobid"))
    if job is None:
        raise ApiError(431, f"Unable to find a job by id {request.params['jobid']}", 4350)
    return public(job)
