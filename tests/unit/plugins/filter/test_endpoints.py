# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.aurora.cluster.plugins.filter.endpoints import FilterModule

FILTERS = FilterModule().filters()
HEALTH = Path(__file__).parents[4] / "roles/mesos_master/tasks/health.yml"


def test_endpoints_keep_the_inventory_order():
    assert FILTERS["zk_endpoints"](["zk2", "zk1"]) == "zk2:2181,zk1:2181"
    assert FILTERS["zk_endpoints"](("zk1",), 2182) == "zk1:2182"
    assert FILTERS["zk_url"](["zk1", "zk2"], "/mesos", 2182) == "zk://zk1:2182,zk2:2182/mesos"


@pytest.mark.parametrize("path", ["mesos", "", "/", "/mesos/"])
def test_malformed_path_is_refused(path):
    with pytest.raises(AnsibleFilterError, match="zk_url needs a path like /mesos"):
        FILTERS["zk_url"](["zk1"], path)


@pytest.mark.parametrize("group", ["zk1", [], {"zk1": {}}, None])
@pytest.mark.parametrize(("name", "arguments"), [("zk_endpoints", []), ("zk_url", ["/mesos"]), ("quorum", [])])
def test_group_without_members_is_refused(name, arguments, group):
    with pytest.raises(AnsibleFilterError, match="Put at least one host into the inventory's group"):
        FILTERS[name](group, *arguments)


def test_quorum_is_the_smallest_majority():
    assert [FILTERS["quorum"]([f"m{n}" for n in range(size)]) for size in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("zk://aurora:hush@zk1:2181,zk2:2181/mesos", "zk://zk1:2181,zk2:2181/mesos"),
        ("zk://aurora:h@sh@zk1:2181/mesos", "zk://zk1:2181/mesos"),
        ("zk://zk1:2181/mesos@home", "zk://zk1:2181/mesos@home"),
        ("zk1:2181", "zk1:2181"),
    ],
)
def test_user_and_password_are_taken_out(url, shown):
    assert FILTERS["without_userinfo"](url) == shown


def test_explanation_of_a_master_without_health_shows_no_password():
    (task,) = yaml.safe_load(HEALTH.read_text())
    environment = jinja2.Environment(autoescape=False)  # noqa: S701
    environment.filters.update({f"aurora.cluster.{name}": function for name, function in FILTERS.items()})
    explanation = environment.from_string(task["vars"]["common_health_expectation"]).render(
        mesos_master_zk="zk://aurora:hush@zk1:2181/mesos", mesos_master_quorum=1, groups={"mesos_master": ["m1"]}
    )
    assert "zk://zk1:2181/mesos must answer" in explanation
    assert "hush" not in explanation
