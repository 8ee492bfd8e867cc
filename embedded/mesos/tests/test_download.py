# SPDX-License-Identifier: GPL-3.0-or-later
"""The pinned file is found wherever pip is told to look, and nothing but the pinned file is accepted."""

import base64
import hashlib
import http.server
import os
import threading

import download
import pytest

NAME = "some.project-1.0.linux-x86_64.tar.gz"
CONTENT = b"the pinned file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def pip_without_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def index(tmp_path):
    """A package index as a directory, as pip reads it: the project's page links to the file elsewhere."""
    page = tmp_path / "index/some-project"
    page.mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / NAME).write_bytes(CONTENT)
    (page / "index.html").write_text(f'<a href="../../files/{NAME}#sha256=0">{NAME}</a>')
    return tmp_path / "index"


def fetch(tmp_path):
    return download.fetch("some.project", NAME, SHA256, str(tmp_path / "cache"))


def test_index_url_of_the_environment(monkeypatch, index, tmp_path):
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{index}")
    with open(fetch(tmp_path), "rb") as file:
        assert file.read() == CONTENT
    assert os.listdir(tmp_path / "cache") == [NAME]


def test_extra_index_url_of_a_configuration_file(monkeypatch, index, tmp_path):
    (tmp_path / "empty").mkdir()
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = file://{tmp_path}/empty\nextra-index-url = file://{index}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert fetch(tmp_path) == str(tmp_path / "cache" / NAME)


def test_find_links_directory_without_an_index(monkeypatch, index, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.parent / "files"))
    assert fetch(tmp_path) == str(tmp_path / "cache" / NAME)


def test_index_with_a_password_serves_page_and_file(monkeypatch, index, tmp_path):
    expected = "Basic " + base64.b64encode(b"user:pass word").decode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=index.parent)

        def do_GET(self):
            if self.headers["Authorization"] == expected:
                super().do_GET()
            else:
                self.send_error(401)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://user:pass%20word@127.0.0.1:{server.server_port}/index")
        try:
            assert fetch(tmp_path) == str(tmp_path / "cache" / NAME)
            monkeypatch.setenv("PIP_INDEX_URL", f"http://user:wrong@127.0.0.1:{server.server_port}/index")
            os.remove(tmp_path / "cache" / NAME)
            with pytest.raises(download.DownloadError) as error:
                fetch(tmp_path)
        finally:
            server.shutdown()
    assert "HTTP Error 401" in str(error.value)
    assert "wrong" not in str(error.value), "the password must not be shown"


def test_the_default_is_what_pip_has_built_in(tmp_path):
    settings = download.pip_settings(download.find_pip(str(tmp_path / "venv")))
    assert settings["index-url"].startswith("https://")
    assert settings["index-url"].endswith("/simple")


def test_another_file_from_the_index_is_refused_and_not_kept(monkeypatch, index, tmp_path):
    (index.parent / "files" / NAME).write_bytes(b"another file")
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{index}")
    with pytest.raises(download.DownloadError) as error:
        fetch(tmp_path)
    for part in (NAME, SHA256, hashlib.sha256(b"another file").hexdigest(), "serves another file"):
        assert part in str(error.value)
    assert os.listdir(tmp_path / "cache") == []


def test_a_damaged_file_in_the_cache_is_named_with_the_remedy(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(b"half a fi")
    with pytest.raises(download.DownloadError) as error:
        fetch(tmp_path)
    damaged = hashlib.sha256(b"half a fi").hexdigest()
    for part in (str(tmp_path / "cache" / NAME), SHA256, damaged, "Remove the file"):
        assert part in str(error.value)


def test_a_file_that_is_nowhere_names_every_place_and_the_remedy(monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PIP_INDEX_URL", f"file://{tmp_path}/empty")
    with pytest.raises(download.DownloadError) as error:
        fetch(tmp_path)
    for part in (NAME, f"file://{tmp_path}/empty/some-project/", "PIP_INDEX_URL", str(tmp_path / "cache")):
        assert part in str(error.value)


def test_an_unwritable_cache_names_the_option(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(download.DownloadError, match="--downloads"):
        download.fetch("some.project", NAME, SHA256, str(tmp_path / "file/cache"))
