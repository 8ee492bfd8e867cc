# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedulers that must not start or not go on. By its name it comes before test_cluster.py, which ends by stopping ZooKeeper."""

import subprocess
import time

import pytest


@pytest.mark.parametrize("state", ["missing", "empty", "made by a mere replica"])
def test_uninitialised_log_is_refused(cluster, state, tmp_path):
    database = tmp_path / "db"
    if state != "missing":
        database.mkdir()
    if state == "made by a mere replica":  # what a scheduler's own first start leaves: LevelDB files, no status record
        (database / "CURRENT").write_text("MANIFEST-000002\n")
        (database / "MANIFEST-000002").write_bytes(b"V\xf9e\xb8\x1c\x00\x01\x01\x1aleveldb.BytewiseComparator")
        (database / "000004.log").write_bytes(b"")
    process = start_with_database(cluster, database)
    assert process.wait(10) == 1
    assert f"The replicated log in {database} is not initialised" in (cluster.base / "refused.log").read_text()


def start_with_database(cluster, database):
    cluster.start_scheduler("refused", "127.0.0.12", native_log_file_path=database)
    return cluster.processes.pop("refused")


def test_log_stays_initialised_after_a_replica_compacted_it(cluster, installed, tmp_path):
    tool = cluster.base / "mesos/usr/bin/mesos-log"
    for expected in (0, 1):  # the second run opens and compacts the database, then says that it is not empty
        assert (
            subprocess.run([tool, "initialize", f"--path={tmp_path}/db"], capture_output=True, check=False).returncode
            == expected
        )
        script = f"import sys; sys.path.insert(0, '{installed}/usr/sbin/aurora-scheduler'); from aurora_embedded import store; print(store.replica_voting('{tmp_path}/db'))"
        done = subprocess.run(["/usr/bin/python3", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "True\n"


def test_scheduler_that_cannot_register_exits_and_is_never_advertised(cluster):
    begun = time.monotonic()
    cluster.start_scheduler(
        "lonely",
        "127.0.0.12",
        mesos_master_address=f"zk://{cluster.zk}/elsewhere",
        max_registration_delay="2secs",
        serverset_path="/lonely",
    )
    code, out, err = None, "", ""
    cluster.write_clusters(zk=cluster.zk, scheduler_zk_path="/lonely")
    code, out, err = cluster.aurora("job", "list", "example")
    cluster.write_clusters()
    assert (code, "No scheduler found: none leads at /lonely" in err) == (7, True), out + err
    assert cluster.processes.pop("lonely").wait(20) == 1
    assert time.monotonic() - begun < 15
    assert "Framework has not been registered within the tolerated delay." in (cluster.base / "lonely.log").read_text()
