# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.doc_fragments.cloudstack import ModuleDocFragment
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import from_options
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_settings import ARGUMENT_SPEC, resolve
from yaml import safe_load

OPTIONS = {"endpoint": "https://option/client/api", "key": "option-key", "secret": "option-secret"}
ENVIRON = {
    "CLOUDSTACK_ENDPOINT": "https://variable/client/api",
    "CLOUDSTACK_KEY": "variable-key",
    "CLOUDSTACK_SECRET": "variable-secret",
}
INI = "[cloudstack]\nendpoint = https://file/client/api\nkey = file-key\nsecret = file-%secret%(x)s\n"


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A home and a working directory without ini files."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_an_option_beats_a_variable_and_a_variable_beats_the_file_each_on_its_own(nowhere):
    (nowhere / "home/.cloudstack.ini").write_text(INI + "timeout = 33\nmethod = get\n")
    settings = resolve({"key": "option-key", "secret": None}, {"CLOUDSTACK_KEY": "v", "CLOUDSTACK_TIMEOUT": "22"})
    assert settings.key == "option-key"
    assert settings.timeout == 22
    assert settings.method == "get"
    assert settings.secret == "file-%secret%(x)s"
    assert settings.endpoint == "https://file/client/api"
    assert settings.origin("key") == "option `key`"
    assert settings.origin("timeout") == "CLOUDSTACK_TIMEOUT"
    assert str(nowhere / "home/.cloudstack.ini") in settings.origin("secret")


def test_without_anything_else_there_are_defaults():
    settings = resolve(OPTIONS, {})
    assert (settings.timeout, settings.method, settings.ca_file, settings.dangerous_no_tls_verify) == (
        10,
        "post",
        None,
        False,
    )


def test_the_variables_alone_suffice():
    assert resolve({}, ENVIRON).secret == "variable-secret"


def test_the_second_file_wins_and_a_named_one_replaces_both(nowhere):
    (nowhere / "home/.cloudstack.ini").write_text(INI)
    (nowhere / "here/cloudstack.ini").write_text("[cloudstack]\nkey = here\n")
    (nowhere / "other.ini").write_text(INI.replace("file-key", "other"))
    assert resolve({}, {}).key == "here"
    assert resolve({"config": str(nowhere / "other.ini")}, {}).key == "other"
    assert resolve({}, {"CLOUDSTACK_CONFIG": str(nowhere / "other.ini")}).key == "other"


def test_the_region_is_the_section(nowhere):
    (nowhere / "here/cloudstack.ini").write_text(INI + INI.replace("cloudstack]", "lab]").replace("file", "lab"))
    assert resolve({}, {}).key == "file-key"
    assert resolve({"region": "lab"}, {}).key == "lab-key"
    assert resolve({}, {"CLOUDSTACK_REGION": "lab"}).key == "lab-key"


@pytest.mark.parametrize(
    ("options", "environ", "words"),
    [
        ({}, {}, ["lacks endpoint and key and secret", "CLOUDSTACK_ENDPOINT", "~/.cloudstack.ini"]),
        ({"endpoint": "https://x/client/api", "key": "abcdefgh"}, {}, ["lacks secret.", "CLOUDSTACK_SECRET"]),
        ({**OPTIONS, "region": "lab"}, {}, ["no section [lab]"]),
        ({**OPTIONS, "config": "/nowhere.ini"}, {}, ["no file /nowhere.ini", "CLOUDSTACK_CONFIG"]),
        ({**OPTIONS, "endpoint": "cloud.example.org"}, {}, ["'cloud.example.org' of option `endpoint`", "a URL"]),
        ({**OPTIONS, "endpoint": "https://me:word@x/"}, {}, ["without user, password"]),
        (OPTIONS, {"CLOUDSTACK_TIMEOUT": "soon"}, ["'soon' of CLOUDSTACK_TIMEOUT", "a number"]),
        ({**OPTIONS, "timeout": 0}, {}, ["option `timeout`", "at least 1"]),
        (OPTIONS, {"CLOUDSTACK_METHOD": "put"}, ["get or post"]),
        # In other programs this reads like "do not verify", and means a file called false.
        (OPTIONS, {"CLOUDSTACK_VERIFY": "false"}, ["CLOUDSTACK_VERIFY", "dangerous_no_tls_verify only"]),
        ({**OPTIONS, "ca_file": "/nowhere.pem"}, {}, ["no file /nowhere.pem"]),
        (OPTIONS, {"CLOUDSTACK_DANGEROUS_NO_TLS_VERIFY": "perhaps"}, ["true or false"]),
        ({**OPTIONS, "ca_file": __file__, "dangerous_no_tls_verify": True}, {}, ["turns certificate checks off"]),
    ],
)
def test_what_cannot_be_used_is_named_with_its_origin_and_a_remedy(options, environ, words):
    with pytest.raises(CloudStackError) as caught:
        resolve(options, environ)
    for word in words:
        assert word in str(caught.value)
    assert "me:word" not in str(caught.value)


def test_a_broken_file_does_not_show_its_lines(nowhere):
    (nowhere / "here/cloudstack.ini").write_text("[cloudstack]\nkey = k\nthe-secret-on-a-line-of-its-own\n")
    with pytest.raises(CloudStackError, match=r"cloudstack.ini.* cannot be read: ParsingError") as caught:
        resolve(OPTIONS, {})
    assert "the-secret" not in str(caught.value)


def test_checks_are_off_only_when_that_is_asked_for(nowhere):
    assert from_options(OPTIONS)._cs.verify is True
    assert from_options({**OPTIONS, "ca_file": __file__})._cs.verify == __file__
    assert from_options({**OPTIONS, "dangerous_no_tls_verify": True})._cs.verify is False


def test_neither_key_nor_secret_is_printed():
    settings = resolve(OPTIONS, {})
    assert "option-" not in repr(settings)
    assert "option-" not in settings.identity
    assert settings.identity != resolve({**OPTIONS, "key": "another"}, {}).identity
    assert settings.identity != resolve({**OPTIONS, "endpoint": "https://another/client/api"}, {}).identity


def test_documentation_and_argument_spec_agree():
    documented = safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    variables = safe_load(ModuleDocFragment.PLUGIN)["options"]
    assert documented.keys() == ARGUMENT_SPEC.keys() == variables.keys()
    for name, option in documented.items():
        assert option["type"] == ARGUMENT_SPEC[name]["type"]
        assert option.get("choices") == ARGUMENT_SPEC[name].get("choices")
