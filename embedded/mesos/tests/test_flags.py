# SPDX-License-Identifier: GPL-3.0-or-later
"""The real parser's answers to good and bad command lines and environments."""

import subprocess

import flags
import pytest
import yaml
from conftest import ADDRESS, REPOSITORY, clean_environment

MASTER, AGENT = "usr/sbin/mesos-master", "usr/sbin/mesos-agent"


@pytest.fixture
def run(root, tmp_path):
    def run(program, *arguments, **environment):
        return subprocess.run(
            [root / program, *arguments],
            check=False,
            cwd=tmp_path,
            env={**clean_environment(), **environment},
            capture_output=True,
            text=True,
            timeout=20,
        )

    return run


@pytest.mark.parametrize("program", [MASTER, AGENT, "usr/sbin/mesos-slave"])
def test_version(run, program):
    result = run(program, "--version")
    assert (result.returncode, result.stdout) == (0, "mesos 1.11.0\n")


@pytest.mark.parametrize(
    ("program", "variable", "role"),
    [(MASTER, "__mesos_master_flags", "mesos_master"), (AGENT, "__mesos_slave_flags", "mesos_slave")],
)
def test_the_role_knows_the_flags_that_help_lists(root, program, variable, role):
    path = REPOSITORY / "roles" / role / "vars/flags.yml"
    known = yaml.safe_load(path.read_text())
    assert known == {variable: flags.known_flags(str(root / program))}, f"run embedded/mesos/flags.py for {path}"
    assert {"work_dir", "ip", "zk_session_timeout", "modules_dir"} < set(known[variable])


def test_former_names_of_flags_are_known(root):
    assert "slave_ping_timeout" in flags.known_flags(str(root / MASTER))
    assert "slave_subsystems" in flags.known_flags(str(root / AGENT))


def test_defaults_point_into_the_package(run):
    assert "(default: /usr/share/mesos/webui)" in run(MASTER, "--help").stdout
    assert "(default: /usr/libexec/mesos)" in run(AGENT, "--help").stdout


BAD = [
    (MASTER, ["--no_such_flag=1"], {}, "unknown flag 'no_such_flag'"),
    (MASTER, ["--quorum=two"], {}, "Failed to load value 'two'"),
    (MASTER, [], {"MESOS_ZK_SESSION_TIMEOUT": "10 sec"}, "Failed to load value '10 sec'"),
    (MASTER, ["--log_auto_initialize=perhaps"], {}, "Failed to load value 'perhaps'"),
    (MASTER, ["--port=5050", "--port=5051"], {}, "Flag 'port' is already loaded"),
    (MASTER, [], {}, "--work_dir is missing"),
    (MASTER, ["--work_dir=.", "--zk=zk://127.0.0.1:1/mesos"], {}, "--quorum is missing"),
    (MASTER, ["--work_dir=.", "--registry=paper"], {}, "neither replicated_log nor in_memory"),
    (MASTER, ["--work_dir=.", "--allocator=other"], {}, "nothing but --allocator=hierarchical"),
    (MASTER, ["--work_dir=.", "--firewall_rules={}"], {}, "does not have --firewall_rules"),
    (MASTER, ["--registry=in_memory", "--agent_removal_rate_limit=often"], {}, "is not COUNT/DURATION"),
    (MASTER, ["--registry=in_memory", "--master_detector=x"], {}, "go together"),
    (AGENT, ["--master=127.0.0.1:1"], {}, "Flag 'work_dir' is required"),
    (AGENT, ["--work_dir=."], {}, "--master is missing"),
    (AGENT, ["--work_dir=."], {"MESOS_GC_DELAY": "1fortnight"}, "Failed to load value '1fortnight'"),
    (
        AGENT,
        ["--work_dir=.", "--master=h:1", "--csi_plugin_config_dir=/x"],
        {},
        "does not have --csi_plugin_config_dir",
    ),
    (AGENT, ["--work_dir=.", "--master=h:1", "--isolation=no/such", "--systemd_enable_support=false"], {}, "no/such"),
]


@pytest.mark.parametrize(("program", "arguments", "environment", "reason"), BAD)
def test_a_mistake_ends_the_program_with_the_reason(run, program, arguments, environment, reason):
    result = run(program, f"--ip={ADDRESS}", "--port=0", *arguments, **environment)
    assert result.returncode == 1
    assert reason in result.stderr


def test_a_misspelt_environment_variable_is_ignored(run):
    """Mesos' own behaviour, and the reason for the lists of flags that the roles check against."""
    result = run(AGENT, f"--ip={ADDRESS}", "--port=0", "--master=h:1", MESOS_WORK_DIRECTORY="/tmp")
    assert "Flag 'work_dir' is required" in result.stderr


def test_log_is_initialized_once(run, tmp_path):
    first = run("usr/bin/mesos-log", "initialize", f"--path={tmp_path}/log")
    assert (first.returncode, first.stdout) == (0, f"{tmp_path}/log: initialized\n")
    assert (tmp_path / "log/CURRENT").exists()
    second = run("usr/bin/mesos-log", "initialize", f"--path={tmp_path}/log")
    assert second.returncode == 1
    assert second.stderr == f"{tmp_path}/log: the log is initialized already\n"


@pytest.mark.parametrize(
    "arguments", [[], ["initialize"], ["initialise", "--path=x"], ["initialize", "--path=x", "-v"]]
)
def test_log_refuses_a_wrong_command_line(run, arguments):
    result = run("usr/bin/mesos-log", *arguments)
    assert result.returncode == 1
    assert "Usage: mesos-log" in result.stderr


def test_launcher_lists_its_names(run):
    result = run("usr/libexec/mesos/mesos")
    assert result.returncode == 2
    assert "mesos-master" in result.stderr
