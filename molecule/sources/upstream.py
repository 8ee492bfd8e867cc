# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes packages and tarballs in upstream's layouts, of those built here and of Debian's ZooKeeper, and a repository.

Usage: upstream.py PACKAGES TARGET. TARGET/made.json says what there is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

JARS = Path("/usr/share/java")

# Upstream's daemons are started by a script that makes a flag of every file in a directory. This is as much of it as one needs
# to see whether it was run.
WRAPPER = """\
#!/bin/sh
set -e
kind=$1
set -- --log_dir=/var/log/mesos
for file in /etc/mesos-$kind/*; do
  [ ! -f "$file" ] || set -- "$@" "--${file##*/}=$(cat "$file")"
done
case $kind in
  master) set -- "$@" "--zk=$(cat /etc/mesos/zk)" ;;
  *) set -- "$@" "--master=$(cat /etc/mesos/zk)" ;;
esac
touch "/var/lib/mesos/$kind-was-started-by-the-wrapper"
exec "/usr/sbin/mesos-$kind" "$@"
"""
UNIT = """\
[Unit]
Description=Mesos {kind}
After=network.target

[Service]
Restart=always
RestartSec=20
ExecStart=/usr/bin/mesos-init-wrapper {kind}

[Install]
WantedBy=multi-user.target
"""
# As strict as Debian's own, and it starts what it enables.
MESOSPHERE_POSTINST = """\
#!/bin/sh
set -e
ldconfig
systemctl daemon-reload
systemctl enable mesos-master mesos-slave
systemctl restart mesos-master mesos-slave
"""
# The last command's status is the script's.
AVENTER_POSTINST = """\
#!/bin/sh
ldconfig
systemctl enable mesos-master
systemctl enable mesos-agent
"""


def run(*command: str | Path, **options) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def field(package: Path, name: str) -> str:
    return run("dpkg-deb", "--field", package, name).strip()


def described(path: Path, target: Path, **more: str) -> dict[str, str]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": str(path.relative_to(target)), "checksum": f"sha256:{digest}", **more}


def packaged(root: Path, directory: Path, control: dict[str, str], target: Path) -> dict[str, str]:
    """Build a package of the files below root, and describe it."""
    put(root / "DEBIAN/control", "".join(f"{name}: {value}\n" for name, value in control.items()))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{control['Package']}_{control['Version']}_{control['Architecture']}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", root, path)
    return described(path, target, version=control["Version"], depends=control["Depends"])


def archived(directory: Path, name: str, target: Path) -> dict[str, str]:
    """Pack a directory under another name into a tarball, and describe it."""
    path = target / f"files/{name}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    root = directory.rename(directory.with_name(name))
    run("tar", "-C", root.parent, "-I", "gzip -1", "-cf", path, name)
    return described(path, target)


def upstream_layout(root: Path, agent: str, postinst: str) -> None:
    """Turn the files of our package into what upstream's installs."""
    shutil.rmtree(root / "usr/lib/systemd")
    shutil.rmtree(root / "etc")
    for kind in ("master", agent):
        put(root / f"lib/systemd/system/mesos-{kind}.service", UNIT.format(kind=kind))
        put(root / f"etc/mesos-{kind}/work_dir", "/var/lib/mesos\n")
        put(root / f"etc/default/mesos-{kind}", "")
    put(root / "etc/mesos-master/quorum", "1\n")
    put(root / "etc/mesos/zk", "zk://localhost:2181/mesos\n")
    put(root / "etc/default/mesos", "ULIMIT='-n 8192'\n")
    put(root / "usr/bin/mesos-init-wrapper", WRAPPER, 0o755)
    for directory in ("var/lib/mesos", "var/log/mesos"):
        (root / directory).mkdir(parents=True)
    put(root / "DEBIAN/postinst", postinst, 0o755)
    configuration = sorted(f"/{path.relative_to(root)}\n" for path in (root / "etc").rglob("*") if path.is_file())
    put(root / "DEBIAN/conffiles", "".join(configuration))


def newest(packages: Path, name: str) -> Path:
    return max(packages.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)


def unpacked(package: Path, parent: Path, name: str) -> Path:
    root = parent / name
    run("dpkg-deb", "--extract", package, root)
    return root


def zookeeper_layout(root: Path) -> None:
    """Put Debian's ZooKeeper where upstream has its own, with links to the Logback of a package on the machine."""
    (root / "lib").mkdir(parents=True)
    with zipfile.ZipFile(JARS / "zookeeper.jar") as jar:
        manifest = re.sub(r"\r?\n ", "", jar.read("META-INF/MANIFEST.MF").decode())
    needed = re.search(r"^Class-Path: (.*)$", manifest, re.MULTILINE)[1].split()
    for path in map(Path, [str(JARS / "zookeeper.jar"), *needed]):
        if path.exists():
            shutil.copy(path, root / "lib")
    for name in ("logback-classic.jar", "logback-core.jar"):
        (root / "lib" / name).symlink_to(JARS / name)


def sign_repository(repository: Path, work: Path) -> None:
    """Write the index of a flat repository, and sign it with a key made for it."""
    stanzas = [
        f"{run('dpkg-deb', '--field', path).strip()}\nFilename: ./{path.name}\nSize: {path.stat().st_size}\n"
        f"SHA256: {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(repository.glob("*.deb"))
    ]
    index = "\n".join(stanzas)
    put(repository / "Packages", index)
    checksum = hashlib.sha256(index.encode()).hexdigest()
    put(work / "Release", f"Date: {run('date', '-Ru').strip()}\nSHA256:\n {checksum} {len(index.encode())} Packages\n")
    home = work / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--yes")
    try:
        run(*gpg, "--passphrase", "", "--quick-generate-key", "repository@localhost", "ed25519", "sign", "never")
        run(*gpg, "--output", repository / "InRelease", "--clear-sign", work / "Release")
        run(*gpg, "--armor", "--output", repository / "key.asc", "--export")
    finally:
        run("gpgconf", "--homedir", home, "--kill", "all")


def main(packages: Path, target: Path, work: Path) -> None:
    mesos, executor, scheduler = (newest(packages, name) for name in ("mesos", "aurora-executor", "aurora-scheduler"))
    control = {
        "Maintainer": "nobody <nobody@localhost>",
        "Architecture": "amd64",
        "Depends": field(mesos, "Depends"),
        "Description": "Mesos in a layout of upstream's",
    }
    made = {}
    upstream = mesos.name.split("_")[1].split("-")[0]

    root = unpacked(mesos, work, "mesosphere")
    upstream_layout(root, "slave", MESOSPHERE_POSTINST)
    for key, revision in (("mesosphere", "2.0.1.debian12"), ("mesosphere_next", "2.0.2.debian12")):
        named = {"Package": "mesos", "Version": f"{upstream}-{revision}", **control}
        made[key] = packaged(root, target / "files", named, target)

    root = unpacked(mesos, work, "aventer")
    upstream_layout(root, "agent", AVENTER_POSTINST)
    for key, revision in (("aventer", "0.7.1"), ("aventer_next", "0.7.2")):
        named = {"Package": "aventer-mesos", "Version": f"{upstream}-{revision}", "Provides": "mesos", **control}
        made[key] = packaged(root, target / "repository", named, target)

    root = unpacked(mesos, work, "mesos_archive") / "usr"
    shutil.rmtree(root / "lib/systemd")
    made["mesos_archive"] = archived(root, f"mesos-{upstream}", target)
    root = unpacked(executor, work, "executor_archive") / "usr/share/aurora"
    made["executor_archive"] = archived(root, "aurora-executor", target)
    root = unpacked(scheduler, work, "scheduler_archive") / "usr"
    shutil.rmtree(root / "bin")
    (root / "sbin").rename(root / "bin")
    made["scheduler_archive"] = archived(root, "aurora-scheduler", target)
    zookeeper_layout(work / "zookeeper_archive")
    made["zookeeper_archive"] = archived(work / "zookeeper_archive", "apache-zookeeper-bin", target)

    copy = Path(shutil.copy(executor, target / "files"))
    made["executor"] = described(copy, target, version=field(copy, "Version"), depends=field(copy, "Depends"))
    os.link(target / made["executor"]["file"], target / "repository" / Path(made["executor"]["file"]).name)
    sign_repository(target / "repository", work)

    python2 = {"Package": "aurora-executor", "Version": "0.22.0", **control, "Depends": "python2.7"}
    (work / "python2").mkdir()
    made["python2"] = packaged(work / "python2", target / "files", python2, target)

    (target / "directory").mkdir()
    for key in ("mesosphere", "executor"):
        os.link(target / made[key]["file"], target / "directory" / Path(made[key]["file"]).name)
    put(target / "made.json", json.dumps(made, indent=2))


if __name__ == "__main__":
    if Path(sys.argv[2]).exists():
        shutil.rmtree(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]), Path(sys.argv[2]), Path(scratch))
