#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the packages aurora-scheduler, aurora-executor and aurora-tools: build.py OUTDIR [--downloads DIR].
Does nothing when the packages there were built from these very sources."""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "mesos"))
import download

VERSION = "0.22.0+embedded3"
EPOCH = "1577836800"  # fixed, so that the same sources give the same packages
# package -> path of an executable archive -> (module, function, links to it); the clients carry pystachio
BIN = "usr/share/aurora/bin"
PROGRAMS = {
    "aurora-scheduler": {"usr/sbin/aurora-scheduler": ("main", "main", [])},
    "aurora-executor": {
        f"{BIN}/thermos_executor.pex": ("executor", "main", []),
        f"{BIN}/thermos_observer.pex": ("observer", "main", ["usr/sbin/thermos_observer"]),
        f"{BIN}/thermos.pex": ("observer", "status", ["usr/bin/thermos"]),
    },
    "aurora-tools": {
        f"{BIN}/kaurora.pex": ("client", "aurora", ["usr/bin/aurora"]),
        f"{BIN}/kaurora.admin.pex": ("client", "admin", ["usr/bin/aurora-admin", "usr/bin/aurora_admin"]),
    },
}


def sources():
    """Path below this directory -> bytes of all that the packages are made from."""
    files = sorted(f for f in HERE.rglob("*") if f.is_file() and not {"__pycache__", "tests"} & {*f.parts})
    return {str(f.relative_to(HERE)): f.read_bytes() for f in files}


def pystachio(downloads):
    """Name in the archive -> bytes of the library that the clients carry."""
    release, pin = (HERE / "requirements.txt").read_text().splitlines()[-1].split()
    name = release.replace("==", "-")
    try:
        archive = download.fetch("pystachio", f"{name}.tar.gz", pin.removeprefix("--hash=sha256:"), downloads)
    except download.DownloadError as error:
        sys.exit(f"embedded/aurora: {error}")
    with tarfile.open(archive) as tar:
        wanted = [m for m in tar.getmembers() if m.isfile() and m.name.startswith(f"{name}/pystachio/")]
        return {m.name.partition("/")[2]: tar.extractfile(m).read() for m in wanted}


def program(target, module, function, files):
    start = f"from aurora_embedded import {module}\n{module}.{function}()\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as out:
        out.write(b"#!/usr/bin/python3\n")
        with zipfile.ZipFile(out, "w") as archive:
            for name, data in sorted({**files, "__main__.py": start}.items()):
                archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    target.chmod(0o755)


def package(name, target, files):
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary, name)
        shutil.copytree(HERE / "debian" / name, tree)
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace("@VERSION@", VERSION))
        for path, (module, function, links) in PROGRAMS[name].items():
            program(tree / path, module, function, files)
            for link in links:
                (tree / link).parent.mkdir(parents=True, exist_ok=True)
                (tree / link).symlink_to(os.path.relpath(path, Path(link).parent))
        documents = tree / "usr/share/doc" / name
        documents.mkdir(parents=True)
        shutil.copy(HERE / "README.md", documents)
        shutil.copy(HERE / "debian/copyright", documents)
        for item in [tree, *(path for path in tree.rglob("*") if not path.is_symlink())]:
            item.chmod(0o755 if item.is_dir() or item.stat().st_mode & 0o100 else 0o644)
        environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": EPOCH}
        command = ["dpkg-deb", "--root-owner-group", "--build", tree, target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--downloads", type=Path, default=Path("/var/cache/aurora-cluster/downloads"))
    options = parser.parse_args()
    found, mark = sources(), options.outdir / ".aurora-embedded.stamp"
    stamp = hashlib.sha256(repr(found).encode()).hexdigest()
    targets = {name: options.outdir / f"{name}_{VERSION}_all.deb" for name in PROGRAMS}
    if all(target.exists() for target in targets.values()) and mark.exists() and mark.read_text() == stamp:
        return
    options.outdir.mkdir(parents=True, exist_ok=True)
    files = {name: data for name, data in found.items() if name.startswith("aurora_embedded/")}
    library = pystachio(options.downloads)
    for name, target in targets.items():
        package(name, target, {**files, **library} if name == "aurora-tools" else files)
        print(target)
    mark.write_text(stamp)


if __name__ == "__main__":
    main()
