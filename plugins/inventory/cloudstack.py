# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machines of a CloudStack cloud as an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cloudstack
short_description: The machines of a CloudStack cloud
version_added: 0.1.0
author:
  - The aurora.cluster authors (!UNKNOWN)
description:
  - Lists every machine the API key can see, and puts each into the groups its tag O(role_tag) names. A cloud whose
    machines are tagged is a cluster at once.
  - The name of the configuration file has to be C(cloudstack.yml) or end in C(.cloudstack.yml). C(.yaml) will do as well.
  - The connection options and O(tags) may be templates. They know extra variables and those in C(group_vars/all)
    beside the file, so that key and secret need to stand in one place only.
  - A machine that is odd in some way costs a warning and never the other machines. Values from the cloud are text and
    nothing else, whatever they look like. They are never treated as templates.
extends_documentation_fragment:
  - aurora.cluster.cloudstack
  - aurora.cluster.cloudstack.plugin
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
requirements:
  - jmespath, for O(include) and O(exclude)
options:
  plugin:
    description: Says that the file is for this plugin.
    type: str
    required: true
    choices: [aurora.cluster.cloudstack]
  zones:
    description: Names or ids of zones. Machines of other zones are left out.
    type: list
    elements: str
    default: []
  projects:
    description:
      - Names or ids of projects. Machines outside of these are left out.
      - V(none) stands for the machines outside of any project, V(all) for these and those of all projects.
    type: list
    elements: str
    default: [all]
  domain:
    description: Path, name or id of a domain. Machines outside of it and its subdomains are left out.
    type: str
  account:
    description:
      - Name of an account. Machines of other accounts are left out, and so are those of projects, which have no account.
    type: str
  tags:
    description:
      - Machines without all of these tags are left out. Instead of a value, a list of values may be given, of which the
        machine has to have one.
    type: dict
    default: {}
  states:
    description:
      - Machines in another state are left out. With an empty list, none are.
      - A cluster member that is stopped is still a member. List V(stopped) as well where the size of a quorum depends
        on the inventory.
    type: list
    elements: str
    choices:
      [running, stopped, starting, stopping, migrating, restoring, shutdown, error, unknown, destroyed, expunging]
    default: [running]
  include:
    description:
      - A JMESPath expression over the machine as the API describes it. Machines for which it is not true are left out.
    type: str
  exclude:
    description:
      - A JMESPath expression as in O(include). Machines for which it is true are left out.
    type: str
  hostnames:
    description:
      - What a machine is called in the inventory, the first of these that it has. The id comes last in any case.
      - V(name), V(displayname), V(id), or V(tag:KEY) for the value of a tag.
      - Names with blanks or signs in them are passed over, and so are C(localhost), C(all) and C(ungrouped).
    type: list
    elements: str
    default: [name]
  duplicate_names:
    description:
      - What to do if several machines have one name. With V(keep), each gets the beginning of its id behind
        its name, or a number if it has no id of its own, and there is a warning. With V(refuse), that is an error.
    type: str
    choices: [keep, refuse]
    default: keep
  ansible_host:
    description:
      - Which address becomes C(ansible_host), the one the controller reaches the machine by. The first of these that the
        machine has.
      - V(default) is the IPv4 address of the default network card, V(network:NAME) that of the card in the network of
        this name or id.
      - V(public) is the public IPv4 address the machine has by static NAT.
      - V(port_forward) is the public address that forwards a port to port 22 of the machine. That port becomes C(ansible_port).
        V(port_forward:PORT) is for another port of the machine. This costs another API call.
      - V(ipv6) is an IPv6 address of the machine, its default network card before others, V(ipv6:NAME) that of the card in
        a network.
      - A machine without any of them costs a warning and has no C(ansible_host).
    type: list
    elements: str
    default: [public, default, ipv6]
  cluster_address:
    description:
      - Which address becomes C(cluster_address), the one the other machines reach this one by. Takes what
        O(ansible_host) takes.
    type: list
    elements: str
    default: [default, ipv6]
  hostvars_prefix:
    description: What the names of the variables begin with.
    type: str
    default: cloudstack_
  group:
    description: The group all the machines are in.
    type: str
    default: cloudstack
  role_tag:
    description:
      - The key of the tag that names the groups of a machine, several of them separated by commas. A hyphen is an underscore
        in the group's name.
    type: str
    default: aurora_role
  cluster_group:
    description: The group that the groups of O(role_tag) are children of.
    type: str
    default: aurora_cluster
"""

EXAMPLES = r"""
# cloudstack.yml: all running machines. Endpoint, key and secret come from CLOUDSTACK_* variables or ~/.cloudstack.ini.
plugin: aurora.cluster.cloudstack

---
# blue.cloudstack.yml: the cluster whose machines carry the tag cluster=blue, stopped members too
plugin: aurora.cluster.cloudstack
endpoint: https://cloud.example.org/client/api
region: production
tags:
  cluster: blue
states: [running, starting, stopping, stopped]

---
# cloudstack.yml: what stands in group_vars/all.yml beside it, for the role instances_cloudstack as well
plugin: aurora.cluster.cloudstack
endpoint: "{{ instances_cloudstack_endpoint }}"
key: "{{ instances_cloudstack_key }}"
secret: "{{ instances_cloudstack_secret }}"
tags:
  aurora_cluster: "{{ instances_cloudstack_cluster }}"

---
# Reached through forwarded ports, talking to each other over the network "backend"
plugin: aurora.cluster.cloudstack
ansible_host: [port_forward, public, default]
cluster_address: ["network:backend"]

---
# Groups and variables of one's own, and an answer that is good for ten minutes
plugin: aurora.cluster.cloudstack
projects: [none, "Data Science"]
include: "memory >= `4096` && starts_with(templatename, 'Debian')"
exclude: "contains(securitygroup[].name, 'legacy')"
hostnames: ["tag:fqdn", displayname, name]
strict: true
compose:
  ansible_user: "'debian' if cloudstack_template is match('Debian') else 'root'"
groups:
  big: cloudstack_memory_mb >= 16384
keyed_groups:
  - key: cloudstack_zone
    prefix: zone
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/cloudstack
cache_timeout: 600
"""

import hashlib
import json
import os

from ansible.errors import AnsibleError, AnsibleParserError, AnsibleTemplateError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable
from ansible.utils.vars import combine_vars
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import CloudStackError, from_options
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_host import (
    ADDRESSES,
    NAMES,
    OddMachine,
    check_preferences,
    distinct,
    host_from_row,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_query import Query, check, condition, fetch
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_settings import ARGUMENT_SPEC, resolve
from ansible_collections.aurora.cluster.plugins.plugin_utils._cloudstack_groups import Grouping

FILES = ("cloudstack.yml", "cloudstack.yaml")


class InventoryModule(BaseInventoryPlugin, Grouping, Cacheable):
    NAME = "aurora.cluster.cloudstack"

    def verify_file(self, path):
        name = path.rsplit("/", 1)[-1]
        return super().verify_file(path) and (name in FILES or name.endswith(tuple(f".{file}" for file in FILES)))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            self._know_variables(path)
            self._check()
            data = self._data(path, cache)
            hosts = self._hosts(data)
            # Plays name these groups also when there is no machine yet.
            for group in ("group", "cluster_group"):
                self.inventory.add_group(self.get_option(group))
            for host in hosts:
                self._add(host)
        except (CloudStackError, ValueError) as exc:
            # No `from`: the message is the whole of it.
            raise AnsibleParserError(f"{path}: {exc}") from None
        self._tell_failures(len(hosts))

    def _know_variables(self, path):
        """Let templates in the file use the variables that the roles get, key and secret among them."""
        variables = {}
        for file in self.loader.find_vars_files(os.path.join(os.path.dirname(path), "group_vars"), "all"):
            more = self.loader.load_from_file(file, trusted_as_template=True) or {}
            variables = combine_vars(variables, more)
        self.templar.available_variables = combine_vars(variables, self._vars)

    def _filled(self, option, value):
        """The value of an option that may be a template. The file is the user's own, and a lookup in it is welcome."""
        try:
            return self.templar.template(value)
        except AnsibleTemplateError as exc:
            raise ValueError(f"`{option}` cannot be filled in: {exc}") from None

    def _check(self):
        """What is wrong with the file shows before the cloud is asked."""
        for option, known in (("hostnames", NAMES), ("ansible_host", ADDRESSES), ("cluster_address", ADDRESSES)):
            check_preferences(option, self.get_option(option), known)
        for option in ("group", "cluster_group"):
            if not self.get_option(option).isidentifier() or self.get_option(option) in ("all", "ungrouped"):
                raise ValueError(f"`{option}` is {self.get_option(option)!r}, which cannot be the name of a group.")
        prefix = self.get_option("hostvars_prefix")
        if not prefix.isidentifier() or prefix.startswith("ansible_"):
            raise ValueError(f"`hostvars_prefix` is {prefix!r}, which variables cannot begin with.")
        self._conditions = {option: condition(option, self.get_option(option)) for option in ("include", "exclude")}
        preferences = self.get_option("ansible_host") + self.get_option("cluster_address")
        options = {name: self.get_option(name) for name in ("zones", "projects", "domain", "account", "tags", "states")}
        options["tags"] = self._filled("tags", options["tags"])
        self._query = Query(
            **options,
            forwards=any(str(one).startswith("port_forward") for one in preferences),
        )
        check(self._query)
        self._failures = {}
        self._connection = {}
        for option in ARGUMENT_SPEC:
            value, origin = self.get_option_and_origin(option)
            # What came from the environment is found there once more, and complaints about it then name the variable.
            if not str(origin).startswith("env:"):
                self._connection[option] = self._filled(option, value)

    def _data(self, path, cache):
        """The rows, from the cache or the cloud. Another cloud, account or question is another entry of the cache."""
        identity = resolve(self._connection).identity
        if not self.get_option("cache"):
            return self._ask()
        question = json.dumps([identity, self._query._asdict()], sort_keys=True, default=str)
        key = f"{self.get_cache_key(path)}_{hashlib.sha256(question.encode()).hexdigest()[:16]}"
        if cache:
            try:
                data = self._cache[key]
                if isinstance(data["machines"], list) and isinstance(data["forwards"], list):
                    self.display.vv(f"{path}: {len(data['machines'])} machines from the cache")
                    return data
            except (KeyError, TypeError, AnsibleError):
                # Not there, or not ours, or a broken file, which the cache has warned about and removed.
                pass
        data = self._ask()
        self._cache[key] = data
        return data

    def _ask(self):
        cloud = from_options(self._connection, self.display.vv)
        data = fetch(cloud, self._query)
        self.display.vv(f"{cloud.settings}: {len(data['machines'])} machines in {cloud.calls} calls")
        return data

    def _hosts(self, data):
        forwards = {}
        for rule in data["forwards"]:
            if isinstance(rule, dict):
                forwards.setdefault(str(rule.get("virtualmachineid")), []).append(rule)
        preferences = {
            option: self.get_option(option) for option in ("hostnames", "ansible_host", "cluster_address", "role_tag")
        }
        reserved = ("all", "ungrouped", self.get_option("group"))
        hosts = []
        for row in data["machines"]:
            ident = str(row.get("id")) if isinstance(row, dict) else None
            try:
                if isinstance(row, dict) and not (self._true("include", row, True) and not self._true("exclude", row)):
                    continue
                host = host_from_row(
                    row,
                    forwards.get(ident, []),
                    prefix=self.get_option("hostvars_prefix"),
                    reserved=reserved,
                    **preferences,
                )
            except OddMachine as exc:
                self.display.warning(f"{exc}. It is left out.")
                continue
            for warning in host.warnings:
                self.display.warning(f"{warning}. It is listed all the same.")
            hosts.append(host)
        if data["machines"] and not hosts:
            self.display.warning(f"None of {len(data['machines'])} machines passes `include` and `exclude`.")
        hosts, doubles = distinct(hosts)
        if doubles and self.get_option("duplicate_names") == "refuse":
            raise ValueError(
                f"several machines are called {', '.join(doubles)}. Rename them, let `hostnames` begin with something"
                " that tells them apart, or set `duplicate_names: keep`."
            )
        for name in doubles:
            self.display.warning(
                f"Several machines are called {name}. They are listed with their ids, or else numbers, behind the name."
            )
        return sorted(hosts, key=lambda host: host.name)

    def _true(self, option, row, without=False):
        """Whether the condition is true for the row. One that fails on it is not."""
        if self._conditions[option] is None:
            return without
        try:
            return self._conditions[option](row)
        except Exception as exc:
            self._failed(option, self.get_option(option), row.get("name"), exc)
            return False
