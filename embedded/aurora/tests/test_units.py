# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that need no cluster: flags, job files, a task's processes, the observer's files, client exits."""

import json
import os
import subprocess
import threading
import time

import pytest
from aurora_embedded import flags, thermos
from conftest import MANDATORY, REPO, SOURCE, words

# --- flags -----------------------------------------------------------------------------------------------------------


def test_every_listed_default_is_valid():
    values, notes = flags.parse(words())
    assert notes == []
    assert (values.http_port, values.max_leading_duration, values.thermos_executor_ram) == (0, 86400, 128)
    assert values.allowed_job_environments.search("staging12")
    assert not values.allowed_job_environments.search("production")


def test_role_variable_agrees_with_the_flags():
    lines = (REPO / "roles/aurora_scheduler/vars/flags.yml").read_text().splitlines()
    names = [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]
    assert names == sorted(flags.known())
    assert len(names) == 139


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("-http_prt=1", "unknown flag -http_prt"),
        ("--http_port=1", "unknown flag --http_port"),
        ("http_port=1", "unknown flag http_port"),
        ("-http_port", "-http_port needs a value"),
        ("-http_port=eighty", "-http_port=eighty: must be an integer"),
        ("-zk_session_timeout=15s", "-zk_session_timeout=15s: must be a number with ms, secs, mins, hrs or days"),
        ("-zk_session_timeout=15 secs", "-zk_session_timeout=15 secs: must be a number with"),
        ("-hold_offers_forever=yes", "-hold_offers_forever=yes: must be true or false"),
        ("-thermos_executor_ram=128", "-thermos_executor_ram=128: must be a number with KB, MB"),
        ("-thermos_executor_cpu=x", "-thermos_executor_cpu=x: must be a number"),
        ("-allowed_job_environments=(", "-allowed_job_environments=(: must be a regular expression"),
        ("-mesos_driver=V2", "-mesos_driver=V2: must be one of SCHEDULER_DRIVER, V0_DRIVER, V1_DRIVER"),
        ("-http_authentication_mechanism=BASIC", "is not supported by the embedded scheduler"),
        ("-zk_in_proc=true", "is not supported by the embedded scheduler"),
        ("-mesos_role=web", "-mesos_role=web is not supported"),
        ("-framework_authentication_file=/f", "-framework_authentication_file=/f is not supported"),
        ("-max_registration_delay=1.5mins", "-max_registration_delay=1.5mins: must be a number with"),
        ("-cluster_name=again", "-cluster_name is given twice"),
    ],
)
def test_bad_flag_is_refused_with_its_reason(word, reason):
    with pytest.raises(flags.FlagError) as refusal:
        flags.parse([*words(), word])
    assert reason in str(refusal.value)


def test_refusal_of_an_unknown_flag_does_not_show_its_value():
    with pytest.raises(flags.FlagError) as refusal:
        flags.parse(words(zk_digest_credential="aurora:hush"))
    assert str(refusal.value) == "unknown flag -zk_digest_credential"


@pytest.mark.parametrize("name", MANDATORY)
def test_missing_mandatory_flag_is_named(name):
    with pytest.raises(flags.FlagError, match=f"a value for the -{name} flag must be supplied"):
        flags.parse([word for word in words() if not word.startswith(f"-{name}=")])


@pytest.mark.parametrize(
    ("name", "value"), [("zk_endpoints", "zk1"), ("serverset_path", "aurora/"), ("native_log_zk_group_path", "/a/")]
)
def test_malformed_mandatory_value_is_refused(name, value):
    with pytest.raises(flags.FlagError, match=f"-{name}={value}: must be"):
        flags.parse(words(**{name: value}))


def test_flag_without_effect_is_said():
    _values, notes = flags.parse(words(native_log_quorum_size=2, offer_order="RANDOM"))
    assert notes == ["-native_log_quorum_size=2 has no effect in the embedded scheduler"]


# --- job files -------------------------------------------------------------------------------------------------------

TASK = "Task(processes=[Process(name='a', cmdline='true')], resources=Resources(cpu=0.5, ram=64*MB, disk=1*GB))"


@pytest.fixture
def job_file(config, tmp_path):
    def load(text, name="example/www-data/prod/hello", bindings=()):
        (tmp_path / "job.aurora").write_text(text)
        return config.load(str(tmp_path / "job.aurora"), name, bindings)

    load.error = config.ConfigError
    load.directory = tmp_path
    return load


def job(fields="", task=TASK):
    return (
        f"jobs = [Service(cluster='example', role='www-data', environment='prod', name='hello', task={task}, {fields})]"
    )


def test_job_becomes_a_task(job_file):
    first = "Process(name='setup', cmdline='echo {{mesos.instance}} {{greeting}} {{role}}')"
    serve = "Process(name='serve', cmdline='serve {{thermos.ports[http]}} {{thermos.ports[admin]}}')"
    task = f"SequentialTask(processes=[{first}, {serve}], resources=Resources(cpu=0.5, ram=64*MB, disk=1*GB))"
    text = job("instances=3, constraints={'rack': 'a,b', 'zone': '!z'}", task)
    made = job_file(text, bindings=[("greeting", "hello")])
    config = made["taskConfig"]
    assert (made["instanceCount"], config["isService"]) == (3, True)
    assert config["resources"] == [
        {"numCpus": 0.5},
        {"ramMb": 64},
        {"diskMb": 1024},
        {"namedPort": "admin"},
        {"namedPort": "http"},
    ]
    assert [c["constraint"] for c in config["constraints"]] == [
        {"value": {"negated": False, "values": ["a", "b"]}},
        {"value": {"negated": True, "values": ["z"]}},
    ]
    spec = json.loads(config["executorConfig"]["data"])["task"]
    assert spec["constraints"] == [{"order": ["setup", "serve"]}]
    assert spec["processes"][0]["cmdline"] == "echo {{mesos.instance}} hello www-data"


def test_include_and_templates(job_file):
    (job_file.directory / "base.aurora").write_text(
        f"base = Job(cluster='example', role='www-data', environment='prod', task={TASK})"
    )
    made = job_file("include('base.aurora')\njobs = [base(name='hello', instances=2)]")
    assert (made["instanceCount"], made["taskConfig"]["isService"]) == (2, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("jobs = [", "SyntaxError|was never closed"),
        ("x = 1", "no list `jobs`"),
        (job("announce=1"), "announce is not supported"),
        (job("container=Docker(image='x')"), "Docker is not supported"),
        (job("health_check_config=HealthCheckConfig()"), "HealthCheckConfig is not supported"),
        (job("cron_schedule='* * * * *'"), "cron_schedule is not supported"),
        (job("tier='preemptible'"), "tier is not supported"),
        (job("update_config=UpdateConfig()"), "UpdateConfig is not supported"),
        (job("priority=1"), "priority is not supported"),
        (job("production=True"), "production is not supported"),
        (job("contact='x@y'"), "contact is not supported"),
        (job("max_task_failures=2"), "max_task_failures is not supported"),
        (job("constraints={'host': 'limit:1'}"), "constraint host='limit:1': limit is not supported"),
        (job(task="SimpleTask('a', 'b')"), "SimpleTask is not supported"),
        *(
            (job(task=f"Task(processes=[Process(name='a', cmdline='x', {field}=1)])"), f"{field} is not supported")
            for field in ("logger", "daemon", "ephemeral", "final", "max_failures", "min_duration")
        ),
        *(
            (job(task=f"Task(processes=[Process(name='a', cmdline='x')], {field}=1)"), f"{field} is not supported")
            for field in ("max_failures", "max_concurrency")
        ),
        (job(task="Task(processes=[Process(name='a', cmdline='true')])"), "resources. is required"),
        (job("instances=0"), "instances must be above 0"),
        (job("instances='many'"), "many"),
        (job("constraints={'host': '!'}"), "constraint host='!'"),
        (job().replace("'www-data'", "'www data'"), "no job example/www-data/prod/hello; it has: example/www data"),
        (job(task=TASK.replace("'a'", "'../a'")), "bad name '../a'"),
        (job(task=TASK.replace("name='a'", "name='..'")), r"bad name '\.\.'"),
        (job(task=TASK.replace("true", "{{nothing}}")), r"not bound: nothing \(--bind"),
        (job(task=TASK.replace("resources", "constraints=order('a','b'), resources")), "order names no process: b"),
    ],
)
def test_bad_job_is_refused_by_name(job_file, text, reason):
    with pytest.raises(job_file.error, match=reason):
        job_file(text)


def test_circular_order_is_refused(job_file):
    processes = "[Process(name='a', cmdline='x'), Process(name='b', cmdline='x')]"
    orders = "order('a', 'b') + order('b', 'a')"
    task = f"Task(processes={processes}, constraints={orders}, resources=Resources(cpu=1, ram=1*MB, disk=1*MB))"
    with pytest.raises(job_file.error, match=r"CycleError.*nodes are in a cycle"):
        job_file(job(task=task))


def test_error_names_the_line(job_file):
    with pytest.raises(job_file.error, match=r"job\.aurora, line 3: ZeroDivisionError"):
        job_file("a = 1\n\nb = 1 / 0\n")


# --- a task's processes ----------------------------------------------------------------------------------------------


@pytest.fixture
def run_task(open_path):
    """Run processes as another user, which only root can."""

    def run(*processes, kill_after=None, order=()):
        constraints = [{"order": list(order)}]
        spec = {"finalization_wait": 1, "processes": processes, "constraints": constraints}
        values = {"thermos.task_id": "t", "mesos.hostname": "h", "mesos.instance": 3, "thermos.ports[http]": 31000}
        killed = threading.Event()
        made = thermos.Task(spec, values, open_path, "www-data", killed)
        made.prepare()
        if kill_after:
            threading.Timer(kill_after, killed.set).start()
        return made.run(), made, open_path / "sandbox"

    return run


def log(sandbox, process, run=0, name="stdout"):
    return (sandbox / ".logs" / process / str(run) / name).read_text()


def test_order_substitution_and_user(run_task):
    state, task, sandbox = run_task(
        {"name": "two", "cmdline": "cat made; id -un; pwd; echo oops >&2"},
        {"name": "one", "cmdline": "sleep 0.3; echo {{mesos.instance}} {{thermos.ports[http]}} {{other}} > made"},
        order=["one", "two"],
    )
    assert state == thermos.SUCCESS
    assert log(sandbox, "two").splitlines() == ["3 31000 {{other}}", task.user.pw_name, str(sandbox)]
    assert log(sandbox, "two", name="stderr") == "oops\n"
    assert sandbox.stat().st_mode & 0o777 == 0o700
    shown = json.loads((sandbox.parent / "checkpoints/task.json").read_text())
    assert shown["state"] == "SUCCESS"
    assert [p["code"] for p in shown["processes"]] == [0, 0]


def test_failure_fails_the_task_and_stops_the_others(run_task):
    state, task, sandbox = run_task(
        {"name": "bad", "cmdline": "echo try; sleep 0.3; exit 3"},
        {"name": "later", "cmdline": "true"},
        {"name": "beside", "cmdline": "sleep 60 & wait"},
        order=["bad", "later"],
    )
    assert state == thermos.FAILED
    assert [(p["state"], p["code"]) for p in task.processes.values()] == [
        ("FAILED", 3),
        ("WAITING", None),
        ("KILLED", -15),
    ]
    assert log(sandbox, "bad") == "try\n"


def test_kill_stops_everything(run_task):
    deaf = {"name": "deaf", "cmdline": "trap '' TERM; while true; do sleep 0.2; done"}
    begun = time.monotonic()
    state, task, _sandbox = run_task(deaf, kill_after=0.5)
    assert (state, task.processes["deaf"]["state"]) == (thermos.KILLED, thermos.KILLED)
    assert 1 < time.monotonic() - begun < 4


def test_log_behind_a_planted_link_is_opened_as_the_user(run_task, open_path):
    secret = open_path / "secret"
    secret.write_text("unchanged")
    secret.chmod(0o600)
    state, _task, _sandbox = run_task(
        {"name": "plant", "cmdline": f"mkdir -p .logs/victim/0 && ln -s {secret} .logs/victim/0/stdout"},
        {"name": "victim", "cmdline": "echo gotcha"},
        order=["plant", "victim"],
    )
    assert state == thermos.FAILED
    assert secret.read_text() == "unchanged"


def test_unknown_user_is_an_error(tmp_path):
    with pytest.raises(KeyError, match="no-such-user"):
        thermos.Task({"finalization_wait": 1, "processes": []}, {}, tmp_path, "no-such-user", threading.Event())


def test_executor_says_what_has_no_effect_and_refuses_the_unknown(installed):
    program = installed / "usr/share/aurora/bin/thermos_executor.pex"
    done = subprocess.run(
        [program, "--runner-logger-mode=rotate", "--nosetuid"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--runner-logger-mode has no effect in the embedded default" in done.stderr
    assert "unrecognized arguments: --nosetuid" in done.stderr


def test_agent_durations():
    assert flags.amount("1.5mins", flags.SECONDS, r"[\d.]+") == 90


# --- the observer's files --------------------------------------------------------------------------------------------


def test_observer_follows_no_link(installed, tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from aurora_embedded import observer\n"
        "for parts in (['sandbox', 'plain'], ['sandbox', 'link'], ['sandbox', 'dir', 'passwd'], ['sandbox', '..', 'x'], ['sandbox', 'pipe']):\n"
        f"    try: print(observer.open_below({str(tmp_path)!r}, parts).read())\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    (sandbox / "plain").write_text("ok")
    (sandbox / "link").symlink_to("/etc/passwd")
    (sandbox / "dir").symlink_to("/etc")
    os.mkfifo(sandbox / "pipe")
    done = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:5] == [
        "b'ok'",
        "OSError",
        "OSError",
        "FileNotFoundError",
        "FileNotFoundError",
    ]


# --- packages and clients --------------------------------------------------------------------------------------------


def test_second_build_does_nothing(tmp_path):
    command = ["/usr/bin/python3", str(SOURCE / "build.py"), str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(first.splitlines()) == 3
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.glob("*.deb")}
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.glob("*.deb")} == before
    (tmp_path / ".aurora-embedded.stamp").unlink()
    subprocess.run(command, capture_output=True, text=True, check=True)
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.deb")} == {
        name: data for name, (_time, data) in before.items()
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, "0.22.0+embedded3"),
        (["version"], 0, "0.22.0+embedded3"),
        (["job", "status", "nowhere/a/prod/b"], 6, "Unknown cluster nowhere; clusters.json has: example, kerberos"),
        (["job", "status", "example/a/prod"], 6, "is not a job key"),
        (["job", "kill", "example/a/prod/b"], 6, "Which instances?"),
        (["job", "kill", "example/a/prod/b/1-x"], 6, "is not a job key CLUSTER/ROLE/ENV/NAME[/0,2-5]"),
        (["job", "create", "example/a/prod/b", "missing.aurora"], 3, "Error loading configuration: missing.aurora"),
        (["job", "create", "example/a/prod/b", "x", "--wait-until=RUNNING"], 6, "--wait-until=RUNNING"),
        (["job", "restart", "example/a/prod/b", "--batch-size=2"], 6, "--batch-size=2"),
        (["job", "open", "example/a/prod/b"], 5, "the embedded default has no command open"),
        (["update", "start", "example/a/prod/b", "x"], 5, "the embedded default has no command update"),
        (["job", "add", "example/a/prod/b/0", "1"], 5, "the embedded default has no command add"),
        (["job", "list", "kerberos/a"], 3, "auth_mechanism KERBEROS is not supported here"),
        (["job", "list", "example/a"], 7, "No scheduler found: ZooKeeper at 127.0.0.1:1 does not answer"),
    ],
)
def test_client_exit_codes(installed, tmp_path, arguments, code, said):
    entry = {"name": "example", "zk": "127.0.0.1", "zk_port": 1, "scheduler_zk_path": "/aurora/scheduler"}
    secured = {**entry, "name": "kerberos", "auth_mechanism": "KERBEROS"}
    (tmp_path / "clusters.json").write_text(json.dumps([entry, secured]))
    environment = {**os.environ, "AURORA_CONFIG_ROOT": str(tmp_path), "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [installed / "usr/bin/aurora", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


@pytest.mark.parametrize("command", ["set_quota", "scheduler_snapshot", "host_drain"])
def test_admin_refuses_by_name(installed, command):
    program = installed / "usr/bin/aurora-admin"
    done = subprocess.run([program, command, "example"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (5, f"aurora-admin: the embedded default has no command {command}\n")
    assert (installed / "usr/bin/aurora_admin").resolve() == program.resolve()


def test_startup_turns_the_environment_into_flags(installed, tmp_path):
    """The script with its two paths pointed at copies; what it starts prints its arguments."""
    text = (installed / "usr/bin/aurora-scheduler-startup").read_text()
    defaults = (
        installed / "etc/default/aurora-scheduler"
    ).read_text() + 'EXTRA_SCHEDULER_ARGS="-framework_name=My -ip=127.0.0.1"\n'
    (tmp_path / "defaults").write_text(defaults)
    (tmp_path / "show").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "show").chmod(0o755)
    text = text.replace("/etc/default/aurora-scheduler", str(tmp_path / "defaults")).replace(
        "/usr/sbin/aurora-scheduler", str(tmp_path / "show")
    )
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    values, _notes = flags.parse(done.stdout.splitlines())
    assert (values.mesos_master_address, values.http_port, values.framework_name) == (
        "zk://localhost:2181/mesos",
        8081,
        "My",
    )
    assert values.given.keys() >= MANDATORY.keys()
