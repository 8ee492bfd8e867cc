# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings on their way to a daemon: the filters, the environment file the role writes, and what systemd makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aurora.cluster.plugins.filter.settings import FilterModule

FILTERS = FilterModule().filters()
TEMPLATE = Path(__file__).parents[4] / "roles/common/templates/environment.j2"
AWKWARD = [
    r"^(prod|devel|test|staging\d*)$",
    "\\",
    "ends in \\",
    r"two \\ three \\\ n \n",
    "",
    "  two  spaces\tand a tab ",
    "it's",
    "'",
    "'\\''",
    'say "a b"',
    r"\"",
    "$HOME ${HOME} $$ $(id) `id`",
    "100% %h %%",
    "# ; & | < > * ? ~ ! [a] {b}",
    "zk://a:2181,b:2181/mesos",
    "käse",
]


def written(environment: dict) -> str:
    """Return the environment file that the role common writes."""
    template = jinja2.Environment(trim_blocks=True, autoescape=False).from_string(TEMPLATE.read_text())  # noqa: S701 - plain text, no HTML
    return template.render(common_unit="a.service", common_installed="1", common_environment=environment)


def read(text: str) -> dict[str, str]:
    """Read an environment file as systemd's parse_env_file() does, as far as values stand within double quotes."""
    values = re.findall(r'^(\w+)="((?:[^"\\]|\\.)*)"$', text, re.MULTILINE)
    assert len(values) == len(re.findall(r"^[^#\n]", text, re.MULTILINE)), text
    return {name: re.sub(r'\\(["\\`$])', r"\1", value) for name, value in values}


def split(value: str) -> list[str]:
    """Take a variable apart as systemd's extract_first_word() does for $VARIABLE in a command.

    Its flags are EXTRACT_RELAX and EXTRACT_UNQUOTE: a backslash makes the next character plain wherever it stands.
    """
    words, word, quote, escaped = [], None, "", False
    for character in value:
        if escaped or (character not in f"\\{quote}" if quote else character not in " \t\n\r'\"\\"):
            word, escaped = (word or "") + character, False
        elif character == "\\":
            word, escaped = word or "", True
        elif character in "'\"":
            word, quote = word or "", "" if quote else character
        elif word is not None:
            words.append(word)
            word = None
    return words if word is None else [*words, word]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("""'a b' "c d" e'f'"g" ''""", ["a b", "c d", "efg", ""]),
        (r"""'a\b' "c\"d" e\ f \\""", ["ab", 'c"d', "e f", "\\"]),
        ("$A ${B} %h", ["$A", "${B}", "%h"]),
    ],
)
def test_model_splits_as_systemd_252_was_seen_to(value, words):
    assert split(value) == words


@pytest.mark.parametrize("value", AWKWARD)
def test_flag_arrives_as_it_was_set(value):
    flags = FILTERS["command_flags"]({"a": value, "z": 1}, "-")
    assert split(read(written({"FLAGS": flags}))["FLAGS"]) == [f"-a={value}", "-z=1"]


@pytest.mark.parametrize("value", [value for value in AWKWARD if value])
def test_environment_arrives_as_it_was_set(value):
    environment = FILTERS["mesos_environment"]({"work_dir": value})
    assert read(written(environment)) == {"MESOS_WORK_DIR": value}


def test_command_flags_are_sorted_plain_words():
    flags = {"port": 1338, "mesos-root": "/var/lib/mesos", "verbose": True, "quiet": False}
    assert FILTERS["command_flags"](flags) == "--mesos-root=/var/lib/mesos --port=1338 --quiet=false --verbose=true"
    assert FILTERS["command_flags"]({}) == ""


def test_mesos_environment_leaves_out_what_is_empty():
    flags = {"work_dir": "/w", "hostname": "", "quorum": 0, "authenticate_http_readonly": False}
    assert FILTERS["mesos_environment"](flags) == {
        "MESOS_AUTHENTICATE_HTTP_READONLY": "false",
        "MESOS_QUORUM": "0",
        "MESOS_WORK_DIR": "/w",
    }


def test_mesos_pairs():
    pairs = FILTERS["mesos_pairs"]
    assert pairs({"mem": 1024, "cpus": 0.5, "ports": "[31000-32000]"}) == "cpus:0.5;mem:1024;ports:[31000-32000]"
    assert pairs({"rack": r"a\b 'c'", "ssd": True}) == r"rack:a\b 'c';ssd:true"
    assert pairs({}) == ""


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("value", ["a=b", ["a"], None])
def test_what_is_no_dictionary_is_refused(name, value):
    with pytest.raises(AnsibleFilterError, match=f"^{name} needs a dictionary of name to value, got "):
        FILTERS[name](value)


@pytest.mark.parametrize(
    "environment",
    [
        {"MESOS_ZK": "zk://aurora:hush@zk1:2181,zk2:2181/mesos"},
        {"MESOS_ZK": "zk://aurora:h@sh@zk1:2181/mesos"},
        {"MESOS_CREDENTIALS": "/etc/mesos/credentials"},
        {"MESOS_MODULES": '{"parameters": [{"key": "db_password", "value": "hush"}]}'},
        {"MESOS_ACLS": '{"secret" : "hush"}'},
        {"AURORA_FLAGS": FILTERS["command_flags"]({"hostname": "a", "zk_digest_credentials": "aurora:hush hush"}, "-")},
        {"AURORA_FLAGS": FILTERS["command_flags"]({"mesos_master_address": "zk://aurora:hush@zk1:2181/mesos"}, "-")},
        {"AURORA_FLAGS": FILTERS["command_flags"]({"x": "https://a:b@files/executor.pex"})},
        {"JAVA_OPTS": "-Xms1g -Djavax.net.ssl.keyStorePassword=hush"},
    ],
)
def test_secret_is_seen(environment):
    assert FILTERS["holds_secret"]({"GLOG_v": 0, **environment}) is True


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MESOS_ZK": "zk://zk1:2181,zk2:2181/mesos", "MESOS_QUORUM": 2, "MESOS_REGISTRY_STRICT": True},
        {"MESOS_WORK_DIR": "/srv/secret/mesos", "MESOS_CONTACT": "admin@example.com"},
        {"AURORA_FLAGS": "-mesos_master_address=zk://zk1:2181/mesos -framework_name=a@b"},
    ],
)
def test_plain_settings_are_no_secret(environment):
    assert FILTERS["holds_secret"](environment) is False
