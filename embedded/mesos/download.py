# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches one file of a project from the package index that pip is configured for.

pip itself refuses the file wanted here: it is neither a wheel nor a source archive. So pip is only asked where it would
look (its configuration files, its environment, its built-in default), and the index page is read here.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import html.parser
import importlib.util
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request


class DownloadError(Exception):
    """The file could not be had; the message says why and what to do."""


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check(path: str, expected: str, remedy: str) -> None:
    got = sha256(path)
    if got != expected:
        raise DownloadError(f"{path}: sha256 does not match\n  expected {expected}\n  got      {got}\n  {remedy}")


def find_pip(scratch: str) -> list[str]:
    """The command that runs pip: this Python's, the one on PATH, or one made by venv."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if pip := shutil.which("pip3") or shutil.which("pip"):
        return [pip]
    if importlib.util.find_spec("ensurepip"):
        subprocess.run([sys.executable, "-m", "venv", scratch], check=True)
        return [os.path.join(scratch, "bin", "python"), "-m", "pip"]
    raise DownloadError("pip is missing: install python3-pip (or python3-venv)")


def pip_settings(pip: list[str]) -> dict[str, str]:
    """pip's settings for a download, in pip's order of precedence, with its built-in default index."""

    def ask(*arguments: str) -> str:
        # pip folds its help text to the terminal's width, which may cut the address in two.
        environment = {**os.environ, "COLUMNS": "500", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        run = subprocess.run([*pip, *arguments], check=False, env=environment, capture_output=True, text=True)
        if run.returncode:
            raise DownloadError(f"{' '.join(pip + list(arguments))} failed:\n{run.stderr.strip()}")
        return run.stdout

    found: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    for line in ask("config", "list").splitlines():
        key, separator, value = line.partition("=")
        section, _, name = key.partition(".")
        if separator and section in found:
            found[section][name.replace("_", "-")] = ast.literal_eval(value)
    settings = {name: value for section in found.values() for name, value in section.items()}
    if "index-url" not in settings:
        default = re.search(r"--index-url.*?\(default\s+(\S+?)\)", ask("download", "--help"), re.DOTALL)
        if default:
            settings["index-url"] = default[1]
    return settings


class Links(html.parser.HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.hrefs: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]


class Index:
    """Opens addresses with pip's certificate, proxy and time-out; a user and password may be part of an address."""

    def __init__(self, settings: dict[str, str]):
        self.timeout = float(settings.get("timeout", settings.get("default-timeout", 60)))
        context = ssl.create_default_context(cafile=settings.get("cert"))
        handlers: list = [urllib.request.HTTPSHandler(context=context)]
        if "proxy" in settings:
            handlers.append(urllib.request.ProxyHandler(dict.fromkeys(("http", "https"), settings["proxy"])))
        self.opener = urllib.request.build_opener(*handlers)

    def open(self, url: str):
        parts = urllib.parse.urlsplit(url)
        headers = {"Accept": "text/html, */*;q=0.1"}
        if parts.username is not None:
            user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
            url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return self.opener.open(urllib.request.Request(url, headers=headers), timeout=self.timeout)

    def find(self, page: str, name: str) -> str | None:
        """The address of the file called name that the page (or directory) links to."""
        local = urllib.request.url2pathname(urllib.parse.urlsplit(page).path) if page.startswith("file:") else page
        if "://" not in local and os.path.isdir(local):
            if os.path.isfile(os.path.join(local, name)):
                return "file://" + urllib.request.pathname2url(os.path.abspath(os.path.join(local, name)))
            local = os.path.join(local, "index.html")
        url = local if "://" in local else "file://" + urllib.request.pathname2url(os.path.abspath(local))
        with self.open(url) as response:
            base, text = response.geturl(), response.read().decode("utf-8", "replace")
        for href in Links(text).hrefs:
            target = urllib.parse.urldefrag(urllib.parse.urljoin(base, href)).url
            if urllib.parse.unquote(urllib.parse.urlsplit(target).path).endswith("/" + name):
                return self.with_credentials(target, page)
        return None

    @staticmethod
    def with_credentials(target: str, page: str) -> str:
        """A private index's file lives behind the same password, which its links do not repeat."""
        file, index = urllib.parse.urlsplit(target), urllib.parse.urlsplit(page)
        if index.username is None or file.hostname != index.hostname or file.username is not None:
            return target
        return file._replace(netloc=f"{index.netloc.rpartition('@')[0]}@{file.netloc}").geturl()


def without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else url


def fetch(project: str, name: str, expected: str, directory: str) -> str:
    """The path of the verified file in directory, downloaded if it is not there yet."""
    path = os.path.join(directory, name)
    if os.path.exists(path):
        check(path, expected, "Remove the file to have it downloaded again.")
        return path
    try:
        os.makedirs(directory, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".download-", dir=directory)
    except OSError as error:
        raise DownloadError(f"{directory}: {error.strerror}; name a directory of your own with --downloads") from None
    try:
        settings = pip_settings(find_pip(os.path.join(scratch, "venv")))
        normalized = re.sub(r"[-_.]+", "-", project).lower()
        pages = settings.get("find-links", "").split()
        if settings.get("no-index", "").lower() not in ("1", "true", "yes", "on"):
            indexes = [settings.get("index-url", ""), *settings.get("extra-index-url", "").split()]
            pages += [f"{index.rstrip('/')}/{normalized}/" for index in indexes if index]
        index, tried = Index(settings), []
        for page in pages:
            try:
                url = index.find(page, name)
                if url is None:
                    tried.append(f"{without_password(page)}: does not list it")
                    continue
                part = os.path.join(scratch, name)
                print(f"downloading {without_password(url)}", flush=True)
                with index.open(url) as response, open(part, "wb") as file:
                    shutil.copyfileobj(response, file)
            except (OSError, ValueError) as error:
                tried.append(f"{without_password(page)}: {error}")
                continue
            check(
                part, expected, f"It came from {without_password(url)}: the index serves another file than the pinned."
            )
            os.replace(part, path)
            return path
    finally:
        shutil.rmtree(scratch)
    raise DownloadError(
        f"{name} was not found where pip looks:\n  "
        + "\n  ".join(tried or ["(pip has no index configured)"])
        + f"\nSet PIP_INDEX_URL to an index that carries {project}, or put the file into {directory} yourself."
    )
