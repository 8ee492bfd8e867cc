#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the packages aurora-scheduler, aurora-executor and aurora-tools: build.py OUTDIR [--downloads DIR].
Does nothing when the packages there were built from these very sources."""

import argparse
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "0.22.0+embedded1"
EPOCH = "1577836800"  # fixed, so that the same sources give the same packages
# package -> path of an executable archive -> its entry point, whether it carries pystachio, and links to it
PROGRAMS = {
    "aurora-scheduler": {"usr/sbin/aurora-scheduler": ("main:main", False, [])},
    "aurora-executor": {
        "usr/share/aurora/bin/thermos_executor.pex": ("executor:main", False, []),
        "usr/share/aurora/bin/thermos_observer.pex": ("observer:observe", False, ["usr/sbin/thermos_observer"]),
        "usr/share/aurora/bin/thermos.pex": ("observer:command", False, ["usr/bin/thermos"]),
    },
    "aurora-tools": {
        "usr/share/aurora/bin/kaurora.pex": ("client:aurora", True, ["usr/bin/aurora"]),
        "usr/share/aurora/bin/kaurora.admin.pex": (
            "client:admin",
            True,
            ["usr/bin/aurora-admin", "usr/bin/aurora_admin"],
        ),
    },
}


def sources():
    return sorted(f for f in HERE.rglob("*") if f.is_file() and "__pycache__" not in f.parts and "tests" not in f.parts)


def stamp():
    digest = hashlib.sha256()
    for file in sources():
        digest.update(f"{file.relative_to(HERE)}\0{file.stat().st_mode & 0o111}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def library(downloads):
    """name in the archive -> bytes of pystachio, from the download cache or the index that pip is configured for."""
    requirements = HERE / "requirements.txt"
    release, pin = requirements.read_text().splitlines()[-1].split()
    name, digest = release.replace("==", "-"), pin.rpartition(":")[2]
    archive = downloads / f"{name}.tar.gz"
    if not archive.exists():
        pip = (
            [sys.executable, "-m", "pip"]
            if importlib.util.find_spec("pip")
            else [shutil.which("pip3") or shutil.which("pip")]
        )
        if not pip[0]:
            sys.exit("pip is missing: install python3-pip")
        downloads.mkdir(parents=True, exist_ok=True)
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        subprocess.run(
            [*pip, "download", *options, "--dest", str(downloads), "--requirement", str(requirements)], check=True
        )
    data = archive.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit(f"{archive}: its sha256 is not {digest}; remove it and build again")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        wanted = [m for m in tar.getmembers() if m.isfile() and m.name.startswith(f"{name}/pystachio/")]
        return {m.name.partition("/")[2]: tar.extractfile(m).read() for m in wanted}


def program(target, entry, files):
    module, _colon, function = entry.partition(":")
    start = f"from aurora_embedded import {module}\n{module}.{function}()\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as out:
        out.write(b"#!/usr/bin/python3\n")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted({**files, "__main__.py": start.encode()}.items()):
                archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    target.chmod(0o755)


def package(name, outdir, files, pystachio):
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary, name)
        shutil.copytree(HERE / "debian" / name, tree)
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace("@VERSION@", VERSION))
        for path, (entry, carries, links) in PROGRAMS[name].items():
            program(tree / path, entry, {**files, **(pystachio if carries else {})})
            for alias in links:
                (tree / alias).parent.mkdir(parents=True, exist_ok=True)
                (tree / alias).symlink_to(os.path.relpath(path, Path(alias).parent))
        documents = tree / "usr/share/doc" / name
        documents.mkdir(parents=True)
        shutil.copy(HERE / "README.md", documents)
        shutil.copy(HERE / "debian/copyright", documents)
        for item in [tree, *(path for path in tree.rglob("*") if not path.is_symlink())]:
            item.chmod(0o755 if item.is_dir() or item.stat().st_mode & 0o100 else 0o644)
        target = outdir / f"{name}_{VERSION}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(target)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": EPOCH},
        )
        return target


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--downloads", type=Path, default=Path("/var/cache/aurora-cluster/downloads"))
    options = parser.parse_args()
    mark, current = options.outdir / ".aurora-embedded.stamp", stamp()
    targets = [options.outdir / f"{name}_{VERSION}_all.deb" for name in PROGRAMS]
    if all(t.exists() for t in targets) and mark.exists() and mark.read_text() == current:
        return
    options.outdir.mkdir(parents=True, exist_ok=True)
    pystachio = library(options.downloads)
    files = {str(f.relative_to(HERE)): f.read_bytes() for f in sources() if HERE / "aurora_embedded" in f.parents}
    for name in PROGRAMS:
        print(package(name, options.outdir, files, pystachio))
    mark.write_text(current)


if __name__ == "__main__":
    main()
