# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.aurora.cluster.plugins.filter.endpoints import FilterModule

FILTERS = FilterModule().filters()
EXPLAIN = Path(__file__).parents[4] / "roles/common/tasks/explain.yml"


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
    ("text", "shown"),
    [
        ("zk://aurora:hush@zk1:2181,zk2:2181/mesos", "zk://zk1:2181,zk2:2181/mesos"),
        ("zk://aurora:h@sh@zk1:2181/mesos", "zk://zk1:2181/mesos"),
        ("zk://zk1:2181/mesos@home", "zk://zk1:2181/mesos@home"),
        ("zk1:2181", "zk1:2181"),
        ("see http://zk1\nand mail to me@zk1", "see http://zk1\nand mail to me@zk1"),
    ],
)
def test_user_and_password_are_taken_out(text, shown):
    assert FILTERS["without_userinfo"](text) == shown


def test_the_explanation_of_a_failure_shows_no_password():
    task = yaml.safe_load(EXPLAIN.read_text())[-1]
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 - plain text, no HTML
    environment.filters.update({f"aurora.cluster.{name}": function for name, function in FILTERS.items()})
    message = environment.from_string(task["ansible.builtin.fail"]["msg"]).render(
        common_explanation="zk://aurora:hush@zk1:2181/mesos must answer.",
        __common_state={"stdout_lines": []},
        __common_log={"stdout": 'Flags at startup: --quorum="1" --zk="zk://aurora:hush@zk1:2181/mesos"'},
    )
    assert message.count("zk://zk1:2181/mesos") == 2
    assert "hush" not in message
