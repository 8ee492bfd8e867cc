# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.aurora.cluster.plugins.plugin_utils import _preflight_variables as preflight
from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_inventory import Problems, Unresolved

GROUPS = {"aurora_cluster": ["a", "b"], "mesos_master": ["a"]}
SPEC = """
argument_specs:
  main: &main
    short_description: A master
    options:
      mesos_master_port: {type: int, default: 5050}
      mesos_master_install_method: {type: str, choices: [package, archive, none], default: package}
      mesos_master_package_source: {type: dict, default: {}, options: {url: {type: str}, directory: {type: path},
        deb: {type: str}, checksum: {type: str}}}
      mesos_master_package_name: {type: str, default: mesos}
      mesos_master_package_version: {type: str, default: 1.11.0-1}
      mesos_master_archive_url: {type: str, default: ""}
      mesos_master_archive_checksum: {type: str, default: ""}
      mesos_master_options: {type: dict, default: {}}
      mesos_master_extra_flags: {type: list, elements: str, default: []}
      mesos_master_log_size: {type: int, default: 1}
      mesos_master_tool_install_method: {type: str, default: none}
      mesos_master_tool_archive_url: {type: str, default: ""}
      mesos_master_tool_archive_checksum: {type: str, default: ""}
      mesos_master_key: {type: int, no_log: true, default: 1}
  probe: *main
"""
DEFAULTS = """
mesos_master_port: 5050
mesos_master_install_method: package
mesos_master_package_source: {}
mesos_master_package_name: mesos
mesos_master_package_version: 1.11.0-1
mesos_master_hostname: "{{ inventory_hostname }}"
"""
FLAGS = "__mesos_master_flags: [cluster, port, quorum, registry_fetch_timeout, authenticate, native_log_size]\n"
VARS = """
__mesos_master_typed_flags:
  port: "{{ mesos_master_port }}"
  native_log_size: "{{ mesos_master_log_size | int }}"
  cluster: fixed
"""


@pytest.fixture
def roles(tmp_path):
    for role, files in {
        "mesos_master": {
            "meta/argument_specs.yml": SPEC,
            "defaults/main.yml": DEFAULTS,
            "vars/flags.yml": FLAGS,
            "vars/main.yml": VARS,
        },
        "machines": {
            "meta/argument_specs.yml": "argument_specs: {main: {options: {machines_size: {type: int}}}}\n",
            "README.md": "Each machine has a `machines_number`.\n",
        },
        "common": {"meta/argument_specs.yml": "argument_specs: {}\n"},
    }.items():
        for path, text in files.items():
            file = tmp_path / "roles" / role / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return preflight.load_roles(str(tmp_path))


@pytest.fixture
def problems_of(roles):
    def check(**variables):
        problems = Problems(GROUPS["aurora_cluster"])
        preflight.check_role_variables({"a": variables, "b": {}}, GROUPS, roles, problems)
        return problems.lines()

    return check


def checksum_of(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_roles_are_read(roles):
    role = roles["mesos_master"]
    assert role.flags["mesos_master"] == {
        "cluster",
        "port",
        "quorum",
        "registry_fetch_timeout",
        "authenticate",
        "native_log_size",
    }
    assert role.typed["mesos_master"] == {"port": "mesos_master_port", "native_log_size": "mesos_master_log_size"}
    assert role.defaults["mesos_master_port"] == 5050
    assert "mesos_master_hostname" not in role.defaults, "its value is not known before the role runs"
    assert roles["common"].flags == {}


def test_the_collection_s_own_roles_are_read():
    roles = preflight.load_roles()
    assert {"zookeeper", "mesos_master", "mesos_slave", "aurora_scheduler"} <= set(roles)
    for name in ("mesos_master", "mesos_slave", "aurora_scheduler"):
        assert len(roles[name].flags[name]) > 50, f"roles/{name}/vars/flags.yml lists the daemon's flags"
    assert roles["mesos_master"].typed["mesos_master"]["quorum"] == "mesos_master_quorum"
    assert roles["mesos_slave"].typed["mesos_slave"]["work_dir"] == "mesos_slave_work_dir"
    assert (
        roles["aurora_scheduler"].typed["aurora_scheduler"]["native_log_quorum_size"]
        == "aurora_scheduler_log_quorum_size"
    )
    assert roles["zookeeper"].typed["zookeeper"]["clientPort"] == "zookeeper_client_port"
    assert "zookeeper_unit" not in roles["zookeeper"].typed
    assert roles["mesos_slave"].typed["mesos_slave_observer"]["port"] == "mesos_slave_observer_port"


@pytest.mark.parametrize(
    "variables", [{}, {"mesos_master_port": 5055}, {"mesos_master_port": "5055"}, {"other_port": "x"}]
)
def test_sound_variables(problems_of, variables):
    assert problems_of(**variables) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mesos_master_prot", "is not a variable of the role mesos_master: did you mean mesos_master_port?"),
        ("mesos_master_zzzzzzzzzz", "is not a variable of the role mesos_master: see roles/mesos_master/README.md"),
    ],
)
def test_a_variable_that_no_role_takes(problems_of, name, said):
    (line,) = problems_of(**{name: 1})
    assert line.startswith(f"host a: {name} {said}")


def test_a_variable_of_the_machines_that_the_readme_names(problems_of):
    assert problems_of(machines_number=1) == []
    assert problems_of(machines_numbre=1) != []


def test_a_user_s_own_variable_may_begin_with_common(problems_of):
    assert problems_of(common_packages=["vim"]) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mesos_master_port", "many", "unable to convert to int"),
        (
            "mesos_master_install_method",
            "rpm",
            "value of mesos_master_install_method must be one of: package, archive, none",
        ),
        ("mesos_master_options", "quorum=2", "must be a dictionary, not the str 'quorum=2'"),
        ("mesos_master_extra_flags", "a,b", "must be a list, not the str 'a,b'"),
        ("mesos_master_package_source", {"dir": "/x"}, "dir"),
    ],
)
def test_a_value_of_the_wrong_type(problems_of, name, value, said):
    line = problems_of(**{name: value})[0]
    assert line.startswith(f"host a: {name}: ")
    assert said in line


def test_a_secret_is_not_shown(problems_of):
    (line,) = problems_of(mesos_master_key="hunter2")
    assert line.startswith("host a: mesos_master_key: ")
    assert "hunter2" not in line


def test_a_value_that_is_not_known_yet_is_left_to_the_role(problems_of):
    assert (
        problems_of(
            mesos_master_port=Unresolved(), mesos_master_options=Unresolved(), mesos_master_package_source=Unresolved()
        )
        == []
    )


def test_a_required_value_is_missing(roles, problems_of):
    roles["mesos_master"].main["mesos_master_zone"] = {"type": "str", "required": True}
    roles["mesos_master"].options["mesos_master_zone"] = {"type": "str", "required": True}
    assert problems_of() == ["host a: mesos_master_zone is required by the role mesos_master and not set"]
    assert problems_of(mesos_master_zone="x") == []


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("qourum", 2, "'qourum' is not a flag of the daemon: did you mean quorum?"),
        ("--quorum", 2, "'--quorum' is not the bare name of a flag: write quorum"),
        ("MESOS_QUORUM", 2, "'MESOS_QUORUM' is not the bare name of a flag: write quorum"),
        ("registry-fetch-timeout", "1mins", "write registry_fetch_timeout"),
        ("no-authenticate", "", "write authenticate: false"),
        ("port", 5055, "'port' has a variable of its own: set mesos_master_port instead"),
        ("native_log_size", 5, "'native_log_size' has a variable of its own: set mesos_master_log_size instead"),
        ("quorum", None, "the value of 'quorum' must be one line of text, a number or a boolean, not None"),
        ("cluster", "a\nb", "the value of 'cluster' must be one line of text, a number or a boolean, not several"),
        ("cluster", ["a"], "the value of 'cluster' must be one line of text, a number or a boolean, not a list"),
    ],
)
def test_flags_that_are_refused(problems_of, flag, value, said):
    (line,) = problems_of(mesos_master_options={flag: value})
    assert line.startswith("host a: mesos_master_options: ")
    assert said in line


@pytest.mark.parametrize("value", ["aurora:hush\n", {"aurora": "hush"}, ["aurora:hush"]])
def test_a_refused_value_is_not_shown_as_it_may_be_a_secret(problems_of, value):
    (line,) = problems_of(mesos_master_options={"authenticate": value})
    assert "the value of 'authenticate' must be one line" in line
    assert "hush" not in line


def test_flags_that_are_taken(problems_of):
    assert problems_of(mesos_master_options={"quorum": 2, "cluster": "x", "authenticate": False}) == []
    assert problems_of(mesos_master_options={"new_flag": 1}, mesos_master_extra_flags=["new_flag"]) == []


def test_a_directory_of_packages(problems_of, tmp_path):
    place = tmp_path / "packages"

    def lines(**more):
        return problems_of(mesos_master_package_source={"directory": str(place)}, **more)

    assert "is not a directory on this computer" in lines()[0]
    place.mkdir()
    (place / "other_1_all.deb").touch()
    assert lines() == [
        f"host a: mesos_master_package_source.directory is {place}, which holds other but not mesos: put it there, or set "
        "mesos_master_package_name"
    ]
    (place / "mesos_1%3a1.9.0-1_amd64.deb").touch()
    assert "holds mesos 1:1.9.0-1 but not 1.11.0-1" in lines()[0]
    assert lines(mesos_master_package_version="1:1.9.*") == []
    (place / "mesos_1.11.0-1_amd64.deb").touch()
    assert lines() == []


def test_a_relative_place_is_refused(problems_of):
    (line,) = problems_of(mesos_master_package_source={"directory": "packages"})
    assert "mesos_master_package_source.directory is packages: write the whole path" in line


def test_a_package_file_and_its_checksum(problems_of, tmp_path):
    file = tmp_path / "mesos.deb"

    def lines(**source):
        return problems_of(mesos_master_package_source={"deb": str(file), **source})

    assert lines() == [
        f"host a: mesos_master_package_source.checksum is not set: set it to sha256: and the checksum of {file}"
    ]
    assert "write it as sha256: and 64 hexadecimal digits" in lines(checksum="md5:123")[0]
    assert "is not a file on this computer" in lines(checksum="sha256:" + "0" * 64)[0]
    file.write_bytes(b"a package")
    (line,) = lines(checksum="sha256:" + "0" * 64)
    assert line.startswith(
        f"host a: mesos_master_package_source.checksum does not match: {file} has {checksum_of(file)}"
    )
    assert lines(checksum=checksum_of(file)) == []
    assert lines(checksum=checksum_of(file).upper().replace("SHA256", "sha256")) == []


def test_a_url_is_checked_when_it_is_downloaded(problems_of):
    source = {"deb": "https://example.org/mesos.deb"}
    assert len(problems_of(mesos_master_package_source=source)) == 1
    assert problems_of(mesos_master_package_source={**source, "checksum": "sha256:" + "0" * 64}) == []


def test_two_sources_at_once(problems_of):
    (line,) = problems_of(mesos_master_package_source={"url": "https://example.org", "directory": "/x"})
    assert "mesos_master_package_source names url and directory: give it one of" in line
    (line,) = problems_of(mesos_master_package_source={"checksum": "sha256:0"})
    assert "names no source" in line


def test_an_archive(problems_of, tmp_path):
    archive = {"mesos_master_install_method": "archive"}
    assert problems_of(**archive) == [
        "host a: mesos_master_archive_url is not set: set it to a path on this computer or a URL"
    ]
    file = tmp_path / "mesos.tar.gz"
    file.write_bytes(b"an archive")
    archive["mesos_master_archive_url"] = str(file)
    assert "mesos_master_archive_checksum is not set" in problems_of(**archive)[0]
    assert problems_of(**archive, mesos_master_archive_checksum=checksum_of(file)) == []


def test_a_role_may_have_more_than_one_source(problems_of):
    (line,) = problems_of(mesos_master_tool_install_method="archive")
    assert line.startswith("host a: mesos_master_tool_archive_url is not set")
