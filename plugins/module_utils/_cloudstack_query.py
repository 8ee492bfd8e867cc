# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which machines are asked for: the listings it takes, and what is sorted out of them here."""

from __future__ import annotations

from typing import NamedTuple

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError, find_one

try:
    import jmespath
except ImportError:
    jmespath = None

# Everything but the statistics, which cost the server a question to each hypervisor.
DETAILS = "group,nics,secgrp,tmpl,servoff,diskoff,affgrp,iso"
SECRET_FIELDS = ("password", "userdata", "userdatadetails")


class Query(NamedTuple):
    """What the options of the same names ask for. `forwards`: port forwarding rules are needed as well."""

    zones: list
    projects: list
    domain: str | None
    account: str | None
    tags: dict
    states: list
    forwards: bool


def condition(option, expression):
    """A function that tells whether the JMESPath `expression` is true for a row, None without an expression."""
    if not expression:
        return None
    if jmespath is None:
        raise ValueError(f"`{option}` needs a library. {missing_required_lib('jmespath')}")
    try:
        search = jmespath.compile(expression).search
    except (jmespath.exceptions.JMESPathError, TypeError) as exc:
        said = " ".join(str(exc).split())
        raise ValueError(f"`{option}` is no JMESPath expression: {said}") from None

    def true_for(row):
        found = search(row)
        # By the rules of JMESPath, in which 0 is true.
        return not (found is None or found is False or found in ("", [], {}))

    return true_for


def _texts(value):
    return [str(one) for one in (value if isinstance(value, (list, tuple)) else [value])]


def check(query):
    if query.account and [project for project in query.projects if project not in ("all", "none")]:
        raise ValueError("`account` and `projects` exclude each other: the machines of a project belong to no account.")
    for key, value in query.tags.items():
        if isinstance(value, dict) or value in (None, []):
            raise ValueError(f"`tags` has no value for {key!r}. Give a text or a list of texts.")


def _scopes(cloud, query):
    """The parameters of each listing: one outside of projects, one for all of them or one for each."""
    projects = ["none"] if query.account and "all" in query.projects else [str(one) for one in query.projects]
    scopes = [{}] if {"all", "none"} & set(projects) else []
    if "all" in projects:
        return [*scopes, {"projectid": "-1"}]
    named = [project for project in projects if project != "none"]
    if named:
        rows = cloud.list("listProjects", listall=True)
        found = [find_one("project", project, rows, command="listProjects") for project in named]
        scopes += [{"projectid": projectid} for projectid in dict.fromkeys(row["id"] for row in found)]
    return scopes


def _narrowed(cloud, query):
    """What the server can sort out, and the ids of the zones."""
    params = {"listall": True}
    zones = []
    if query.zones:
        rows = cloud.list("listZones")
        zones = [str(find_one("zone", zone, rows, command="listZones")["id"]) for zone in query.zones]
        if len(set(zones)) == 1:
            params["zoneid"] = zones[0]
    if query.domain:
        rows = cloud.list("listDomains", listall=True)
        domain = find_one("domain", query.domain, rows, ("path", "name"), command="listDomains")
        params.update(domainid=domain["id"], isrecursive=True)
        if query.account:
            params["account"] = query.account
    return params, zones


def _list_machines(cloud, params):
    try:
        return cloud.list("listVirtualMachines", details=DETAILS, **params)
    except CloudStackError as error:
        # An old server does not know all of the details.
        if error.code != 431 or "detail" not in error.text.lower():
            raise
        return cloud.list("listVirtualMachines", **params)


def _listed(cloud, query, method, params):
    """The rows of all scopes, each machine or rule once. Rows that are not even objects stay in."""
    rows = {}
    for scope in _scopes(cloud, query):
        try:
            for row in method(cloud, {**params, **scope}):
                ident = row.get("id") if isinstance(row, dict) else None
                rows[len(rows) if ident in (None, "") else str(ident)] = row
        except CloudStackError as error:
            if scope.get("projectid") == "-1" and error.code in (431, 432, 531):
                error.remedy = f"`projects: [none]` leaves the projects out. {error.remedy}".strip()
            raise
    return list(rows.values())


def _list_forwards(cloud, params):
    return cloud.list("listPortForwardingRules", **params)


def fetch(cloud, query):
    """All that has to be known about the machines: their rows, and port forwarding rules if asked for."""
    check(query)
    params, zones = _narrowed(cloud, query)
    narrowed = dict(params)
    for key, value in query.tags.items():
        # Several tags mean "any of them" to some servers and "all of them" to others; one is clear.
        if len(_texts(value)) == 1:
            narrowed["tags"] = [{"key": key, "value": _texts(value)[0]}]
            break
    states = [state.lower() for state in query.states]
    if len(states) == 1 and states[0] in ("running", "stopped", "destroyed"):
        narrowed["state"] = states[0].capitalize()
    machines = [
        {key: value for key, value in row.items() if key not in SECRET_FIELDS} if isinstance(row, dict) else row
        for row in _listed(cloud, query, _list_machines, narrowed)
        if matches(row, query, zones)
    ]
    forwards = []
    if query.forwards:
        params.pop("zoneid", None)
        forwards = _listed(cloud, query, _list_forwards, params)
    return {"machines": machines, "forwards": forwards}


def matches(row, query, zones):
    """Whether `row` is asked for. What is not even a machine passes, for somebody to complain about it."""
    if not isinstance(row, dict):
        return True
    if query.states and str(row.get("state", "unknown")).lower() not in [state.lower() for state in query.states]:
        return False
    if zones and str(row.get("zoneid")) not in zones:
        return False
    if query.account and row.get("account") != query.account:
        return False
    given = row.get("tags") if isinstance(row.get("tags"), list) else [row.get("tags")]
    tags = {str(tag.get("key")): str(tag.get("value") or "") for tag in given if isinstance(tag, dict)}
    return all(tags.get(str(key)) in _texts(value) for key, value in query.tags.items())
