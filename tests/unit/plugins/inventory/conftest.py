# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin with everything around it real: options, InventoryData, Templar, and a double of the cloud."""

from __future__ import annotations

import pytest
import yaml
from ansible import constants as C
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments import constructed, inventory_cache
from ansible.plugins.loader import init_plugin_loader
from ansible_collections.aurora.cluster.plugins.doc_fragments.cloudstack import ModuleDocFragment
from ansible_collections.aurora.cluster.plugins.inventory import cloudstack
from doubles.cloudstack import Double

NAME = "aurora.cluster.cloudstack"


def definitions():
    """The plugin's options as the plugin loader would compose them of the documentation and its fragments."""
    options = {}
    for text in (
        constructed.ModuleDocFragment.DOCUMENTATION,
        inventory_cache.ModuleDocFragment.DOCUMENTATION,
        ModuleDocFragment.DOCUMENTATION,
        ModuleDocFragment.PLUGIN,
        cloudstack.DOCUMENTATION,
    ):
        for name, option in yaml.safe_load(text)["options"].items():
            options.setdefault(name, {}).update(option)
    for name, option in options.items():
        option["name"] = name
    return options


class Recorder:
    """Takes the place of the display and keeps what a user would see."""

    def __init__(self):
        self.warnings, self.details = [], []

    def warning(self, text):
        self.warnings.append(text)

    def vv(self, text):
        self.details.append(text)

    vvv = vvvv = debug = vv


class Read:
    """An inventory that was read, and what it said."""

    def __init__(self, path, cache, before=None):
        plugin = cloudstack.InventoryModule()
        plugin._load_name = plugin.ansible_name = NAME
        plugin._redirected_names = [NAME]
        self.shown = plugin.display = Recorder()
        self.inventory = InventoryData()
        if before:
            before(self.inventory)
        assert plugin.verify_file(str(path))
        plugin.parse(self.inventory, DataLoader(), str(path), cache)
        self.inventory.reconcile_inventory()
        # As the inventory manager does after each source.
        if hasattr(plugin, "_cache"):
            plugin.update_cache_if_changed()

    @property
    def warnings(self):
        return self.shown.warnings

    @property
    def names(self):
        return sorted(self.inventory.hosts)

    @property
    def groups(self):
        groups = self.inventory.get_groups_dict()
        return {name: sorted(hosts) for name, hosts in groups.items() if name not in ("all", "ungrouped")}

    def vars(self, name):
        return self.inventory.get_host(name).get_vars()


@pytest.fixture(scope="session", autouse=True)
def _options():
    init_plugin_loader([])
    C.config.initialize_plugin_configuration_definitions("inventory", NAME, definitions())


@pytest.fixture
def double(monkeypatch, tmp_path):
    """An empty cloud that the CLOUDSTACK_* variables lead to."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with Double() as double:
        for name, value in double.environment().items():
            monkeypatch.setenv(name, value)
        yield double


@pytest.fixture
def read(tmp_path):
    """Read a configuration file, given as text or as options. `before` prepares the inventory, as another source may."""

    def read(text="", cache=True, name="cloudstack.yml", before=None, **options):
        path = tmp_path / name
        path.write_text(f"plugin: {NAME}\n{text}\n" + (yaml.safe_dump(options) if options else ""))
        return Read(path, cache, before)

    return read
