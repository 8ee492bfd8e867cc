#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the Debian package mesos 1.11.0-1 from Apache's binary release of mesos.scheduler; README.md says how."""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import download
import library

PROJECT = "mesos.scheduler"
ARCHIVE = "mesos.scheduler-1.11.0.linux-x86_64.tar.gz"
ARCHIVE_SHA256 = "1d376f20bca6d05ee8b90c1c123a452b28753497ccc2f1c80ea3ac94c12e8f6e"
PACKAGE = "mesos_1.11.0-1_amd64.deb"
DOWNLOADS = "/var/cache/aurora-cluster/downloads"
EPOCH = "1606232317"  # when the library was built: every file's time, so that the same sources give the same bytes

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = ("build.py", "download.py", "library.py", "src", "webui", "debian")
UNITS = ("launcher", "master", "agent", "tools")
TOOLS = {"g++": "g++", "gcc": "gcc", "nm": "binutils", "strip": "binutils", "dpkg-deb": "dpkg"}
# What the library needs from an executable's own symbols (see launcher.cpp), and nothing else: a template instance of
# ours must never take the place of the library's.
EXPORTED = ("_Py_NoneStruct", "PyExc_Exception", "PyExc_TypeError")
# Beside the launcher, so that an unpacked package runs too; the second is for a chroot without /proc.
RUNPATH = "$ORIGIN/../../lib/mesos:/usr/lib/mesos"
HELPERS = ("mesos-containerizer", "mesos-io-switchboard")
PROGRAMS = {"sbin": ("mesos-master", "mesos-agent", "mesos-slave"), "bin": ("mesos-log", "mesos-resolve")}
SCRIPTS = ("mesos-executor", "mesos-fetcher")


class BuildError(Exception):
    pass


def run(*command: str | os.PathLike) -> str:
    print("+ " + " ".join(map(str, command)), flush=True)
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise BuildError(f"{command[0]} failed with status {result.returncode}")
    return result.stdout


def check_tools() -> None:
    if os.uname().machine != "x86_64" or sys.platform != "linux":
        raise BuildError(f"the library exists for Linux on x86_64 only, this is {sys.platform} on {os.uname().machine}")
    missing = {tool: package for tool, package in TOOLS.items() if not shutil.which(tool)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise BuildError(f"{', '.join(missing)} not found; run: apt-get install {packages}")


def fingerprint() -> str:
    """What the package is made from: our sources, the pinned archive and the compiler."""
    digest = hashlib.sha256(f"{ARCHIVE_SHA256}\n{run('g++', '--version').splitlines()[0]}\n".encode())
    files = [file for source in SOURCES for file in [HERE / source, *(HERE / source).rglob("*")] if file.is_file()]
    for file in sorted(files):
        if "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(HERE)} {download.sha256(str(file))}\n".encode())
    return digest.hexdigest()


def is_current(package: pathlib.Path, wanted: str) -> bool:
    if not package.exists():
        return False
    found = subprocess.run(["dpkg-deb", "--info", package, "fingerprint"], check=False, capture_output=True, text=True)
    return found.returncode == 0 and found.stdout.strip() == wanted


def unpack_library(archive: str, target: pathlib.Path) -> None:
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.name.endswith("/_scheduler.so")]
        if len(members) != 1:
            raise BuildError(f"{archive} holds {len(members)} files _scheduler.so, expected one")
        with tar.extractfile(members[0]) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)
    run("strip", "--strip-unneeded", target)
    target.write_bytes(library.rename_symbol_version(target.read_bytes(), *library.CURL_VERSIONS))
    target.chmod(0o644)


def build_ssl_shim(mesos: pathlib.Path, work: pathlib.Path) -> None:
    """libssl.so.1.0.0 and libcrypto.so.1.0.0, one file under both names."""
    versions = library.openssl_symbols(run("nm", "-D", "--undefined-only", mesos))
    script, names = library.shim_sources(versions)
    (work / "ssl.map").write_text(script)
    (work / "ssl_names.h").write_text(names)
    target = mesos.parent / "libssl.so.1.0.0"
    run(
        *("gcc", "-O2", "-fPIC", "-shared", "-s", "-Wall", f"-I{work}", f"-DCOUNT={names.count('SSL_SHIM(')}"),
        *("-o", target, HERE / "src/ssl_shim.c"),
        *(f"-Wl,--version-script={work}/ssl.map,-soname,libssl.so.1.0.0", "-ldl"),
    )
    target.chmod(0o644)
    (mesos.parent / "libcrypto.so.1.0.0").symlink_to(target.name)


def build_launcher(mesos: pathlib.Path, target: pathlib.Path, work: pathlib.Path) -> None:
    def compile_unit(unit: str) -> None:
        # -fPIC and not -fPIE: no copy of the library's constants may land in the executable.
        source, result = HERE / f"src/{unit}.cpp", work / f"{unit}.o"
        run("g++", "-std=c++17", "-O1", "-fPIC", "-Wall", f"-ffile-prefix-map={HERE}=.", "-c", source, "-o", result)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_unit, UNITS))
    (work / "launcher.map").write_text(f"{{ global: {' '.join(name + ';' for name in EXPORTED)} local: *; }};\n")
    linker = [f"--version-script={work}/launcher.map", *(f"--export-dynamic-symbol={name}" for name in EXPORTED)]
    # Lazy binding is required: the Python functions the module refers to exist nowhere, and are never called.
    linker += ["--disable-new-dtags", f"-rpath,{RUNPATH}", "-z,lazy", "--allow-shlib-undefined"]
    run(
        *("g++", "-pie", "-s", "-o", target, *(work / f"{unit}.o" for unit in UNITS)),
        *(f"-L{mesos.parent}", f"-l:{mesos.name}", "-pthread", "-Wl," + ",".join(linker)),
    )


def install_files(root: pathlib.Path) -> None:
    """Everything but the compiled files."""
    libexec = root / "usr/libexec/mesos"
    for script in SCRIPTS:
        shutil.copy(HERE / "src" / script, libexec)
        (libexec / script).chmod(0o755)
    for program in HELPERS:
        (libexec / program).symlink_to("mesos")
    for directory, programs in PROGRAMS.items():
        (root / "usr" / directory).mkdir()
        for program in programs:
            (root / "usr" / directory / program).symlink_to("../libexec/mesos/mesos")

    def copy(source: str | os.PathLike, target: str) -> None:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / source, root / target)

    for daemon in ("mesos-master", "mesos-agent"):
        copy(f"debian/{daemon}.service", f"usr/lib/systemd/system/{daemon}.service")
        copy(f"debian/{daemon}.default", f"etc/default/{daemon}")
    copy("debian/copyright", "usr/share/doc/mesos/copyright")
    for file in sorted((HERE / "webui").rglob("*")):
        if file.is_file():
            name = file.relative_to(HERE)
            copy(name, f"usr/share/mesos/{name}")


def pack(root: pathlib.Path, package: pathlib.Path, mark: str) -> None:
    control = root / "DEBIAN"
    files = sorted(file for file in root.rglob("*") if file.is_file() and not file.is_symlink())
    control.mkdir()
    (control / "md5sums").write_text(
        "".join(
            f"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}  {file.relative_to(root)}\n"
            for file in files
        )
    )
    size = sum(file.stat().st_size for file in files) // 1024
    (control / "control").write_text((HERE / "debian/control").read_text() + f"Installed-Size: {size}\n")
    (control / "conffiles").write_text("".join(f"/{f.relative_to(root)}\n" for f in files if "etc" in f.parts))
    (control / "fingerprint").write_text(mark + "\n")
    for path in root.rglob("*"):  # whatever the caller's umask is
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    root.chmod(0o755)
    part = package.with_name(f".{package.name}.{os.getpid()}")
    try:
        os.environ["SOURCE_DATE_EPOCH"] = EPOCH
        run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", root, part)
        part.replace(package)
    finally:
        part.unlink(missing_ok=True)


def build(out: pathlib.Path, downloads: str) -> None:
    check_tools()
    package, mark = out / PACKAGE, fingerprint()
    if is_current(package, mark):
        print(f"{package} is current")
        return
    archive = download.fetch(PROJECT, ARCHIVE, ARCHIVE_SHA256, downloads)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mesos-build-") as scratch:
        work, root = pathlib.Path(scratch, "work"), pathlib.Path(scratch, "root")
        mesos = root / "usr/lib/mesos/libmesos-1.11.0.so"
        launcher = root / "usr/libexec/mesos/mesos"
        for directory in (work, mesos.parent, launcher.parent):
            directory.mkdir(parents=True)
        unpack_library(archive, mesos)
        build_ssl_shim(mesos, work)
        build_launcher(mesos, launcher, work)
        install_files(root)
        pack(root, package, mark)
    print(f"{package}: {package.stat().st_size} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outdir", type=pathlib.Path, help="where the package is written")
    parser.add_argument("--downloads", default=DOWNLOADS, help="cache of downloaded files (default: %(default)s)")
    options = parser.parse_args()
    try:
        build(options.outdir, options.downloads)
    except (BuildError, download.DownloadError, library.LibraryError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
