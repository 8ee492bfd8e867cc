# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A machine's place in the inventory: its variables and groups. One that cannot have its group is told and keeps the rest."""

from __future__ import annotations

from ansible.plugins.inventory import Constructable
from ansible.utils.vars import combine_vars


class Grouping(Constructable):
    """The part of the plugin that puts hosts into the inventory. `_failures` maps what failed to machines and reasons."""

    def _add(self, host):
        self.inventory.add_host(host.name, self.get_option("group"))
        # A machine may be called like a group, zookeeper for one, and then inventory.set_variable takes the group.
        entry = self.inventory.get_host(host.name)
        for name, value in host.variables.items():
            entry.set_variable(name, value)
        for role in host.roles:
            try:
                self._add_to_role(host.name, role)
            # One source may say that a group is above another, and a machine's tag that it is below.
            except Exception as exc:
                self._failed("role_tag", role, host.name, exc)
        self._construct(host.name, entry, host.variables)

    def _add_to_role(self, name, role):
        cluster = self.get_option("cluster_group")
        self.inventory.add_group(role)
        if role != cluster:
            self.inventory.add_child(cluster, role)
        self.inventory.add_host(name, role)

    def _construct(self, name, entry, variables):
        """compose, groups and keyed_groups, as everywhere, but the failures of an expression are told."""
        extra = self._vars if self.get_option("use_extra_vars") else {}
        for variable, expression in self.get_option("compose").items():
            try:
                entry.set_variable(variable, self._compose(expression, variables))
            except Exception as exc:
                self._failed("compose", variable, name, exc)
        known = combine_vars(combine_vars(variables, entry.get_vars()), extra)
        self.templar.available_variables = known
        for group, expression in self.get_option("groups").items():
            try:
                wanted = self.templar.evaluate_conditional(expression)
            except Exception as exc:
                self._failed("groups", group, name, exc)
                continue
            if wanted:
                self.inventory.add_host(name, self.inventory.add_group(self._sanitize_group_name(group)))
        for keyed in self.get_option("keyed_groups"):
            try:
                self._add_host_to_keyed_groups([keyed], known, name, self.get_option("strict"), fetch_hostvars=False)
            except Exception as exc:
                hint = " A number has to pass through `| string`." if "Invalid group name" in str(exc) else ""
                said = keyed if isinstance(keyed, dict) else {"key": keyed}
                below = f" below {said['parent_group']}" if said.get("parent_group") else ""
                self._failed("keyed_groups", f"{said.get('key')}{below}", name, f"{exc}{hint}")

    def _failed(self, option, what, name, exc):
        if self.get_option("strict"):
            raise ValueError(f"`{option}` {what!r} fails for machine {name}: {exc}") from None
        self._failures.setdefault((option, what), []).append((name, exc))

    def _tell_failures(self, hosts):
        """A variable that now and then cannot be had is usual; one that never can is a mistake, and so is any other failure."""
        for (option, what), failures in self._failures.items():
            name, exc = failures[0]
            text = f"`{option}` {what!r} fails for {len(failures)} machines, {name} for one: {exc}"
            if option not in ("compose", "groups") or len(failures) == hosts:
                self.display.warning(text)
            else:
                self.display.vvv(text)
