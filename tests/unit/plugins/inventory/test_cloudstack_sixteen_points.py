# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory of a CloudStack cloud is known to get wrong, one by one.

Each of these made `ngine_io.cloudstack.instance` 3.3.0 lose the whole inventory, or tell something that was not so.
"""

from __future__ import annotations

import json
import ssl
import subprocess

import pytest
from ansible.errors import AnsibleParserError
from doubles.cloudstack import Throttle

HOSTILE = [
    "a: b",
    "@foo",
    "{{ x }}",
    "yes",
    "1.10",
    "0123",
    "",
    "- x",
    "# y",
    "&a",
    "*a",
    "%z",
    "'",
    '"',
    "[1",
    "ünïcode",
]


def test_01_a_machine_without_cards_does_not_cost_the_others(double, read):
    double.add_machine("odd", nic=[])
    double.add_machine("odder", nic=None)
    double.add_machine("fine")
    seen = read()
    assert seen.names == ["fine", "odd", "odder"]
    assert [warning.split()[1] for warning in seen.warnings] == ["'odd'", "'odder'"]


def test_02_the_default_card_counts_and_not_the_first(double, read):
    row = double.add_machine("m", address="10.200.0.7")
    row["nic"].insert(0, {"id": "x", "networkname": "other", "ipaddress": "10.9.9.9", "isdefault": False})
    assert read().vars("m")["ansible_host"] == "10.200.0.7"


def test_03_a_card_without_address_gives_no_address_of_null(double, read):
    double.add_machine("m", address=None)
    assert "ansible_host" not in read().vars("m")


def test_04_one_machine_without_public_address_is_reached_otherwise(double, read):
    double.add_machine("nat", publicip="192.0.2.5")
    double.add_machine("plain", address="10.200.0.8")
    seen = read(ansible_host=["public", "default"])
    assert seen.vars("nat")["ansible_host"] == "192.0.2.5"
    assert seen.vars("plain")["ansible_host"] == "10.200.0.8"


@pytest.mark.parametrize("value", HOSTILE)
def test_05_the_value_of_a_tag_is_the_text_it_is(double, read, value):
    double.add_machine("m", tags={"note": value})
    assert read().vars("m")["cloudstack_tags"] == {"note": value}


def test_06_a_machine_may_be_called_no(double, read):
    for name in ("no", "null", "1e3", "on"):
        double.add_machine(name)
    assert read().names == ["1e3", "no", "null", "on"]


def test_07_a_line_break_makes_no_variables(double, read):
    double.add_machine("m", templatename="x\nansible_connection: local\nevil: 'yes'")
    variables = read().vars("m")
    assert variables["cloudstack_template"].startswith("x\nansible_connection")
    assert not {"ansible_connection", "evil"} & variables.keys()


def test_08_two_machines_of_one_name_are_two_hosts(double, read):
    double.add_machine("web", zone="basic")
    double.add_machine("web", zone="advanced")
    seen = read()
    assert len(seen.names) == 2
    assert {seen.vars(name)["cloudstack_zone"] for name in seen.names} == {"basic", "advanced"}
    assert len(seen.warnings) == 1


def test_09_administrators_fields_and_reserved_names_get_in_nobodys_way(double, read, monkeypatch):
    double.add_machine("m", hostname="hypervisor-7", instancename="i-2-3-VM", tags={"a": "b"})
    for name, value in double.environment("admin").items():
        monkeypatch.setenv(name, value)
    variables = read().vars("m")
    assert variables["cloudstack_hypervisor_host"] == "hypervisor-7"
    ours = {name for name in variables if name not in ("ansible_host", "cluster_address")}
    builtin = {"inventory_file", "inventory_dir", "inventory_hostname", "inventory_hostname_short", "group_names"}
    assert all(name.startswith("cloudstack_") for name in ours - builtin)


def test_10_machines_that_do_not_run_are_left_out_unless_asked_for(double, read):
    for state in ("Running", "Stopped", "Destroyed", "Error"):
        double.add_machine(state.lower(), state=state)
    assert read().names == ["running"]
    assert read(states=["running", "stopped"]).names == ["running", "stopped"]


def test_11_an_account_without_projects_is_no_accident(double, read):
    double.cloud.rows["project"].clear()
    double.add_machine("m")
    assert read().names == ["m"]
    with pytest.raises(AnsibleParserError, match=r"there is no project 'blue' that this key can see\. There are none"):
        read(projects=["blue"])


def test_12_a_server_with_smaller_pages_is_read_to_the_end(double, read):
    double.server.page_size = 7
    for number in range(30):
        double.add_machine(f"m{number}")
    assert len(read().names) == 30


def test_13_a_server_that_asks_to_wait_is_waited_for(double, read):
    double.server.page_size = 5
    double.server.throttle = Throttle(3, 0.2)
    for number in range(30):
        double.add_machine(f"m{number}")
    assert len(read().names) == 30
    assert double.server.throttle.refused > 0


def test_14_what_there_is_to_know_is_there(double, read):
    row = double.add_machine("m", displayname="Front end", keypairs="mine", address="10.200.0.9")
    row["securitygroup"] = [{"id": "g", "name": "cluster"}]
    row["nic"][0]["secondaryip"] = [{"id": "s", "ipaddress": "10.200.0.99"}]
    variables = read().vars("m")
    assert variables["cloudstack_id"] == row["id"]
    assert variables["cloudstack_displayname"] == "Front end"
    assert variables["cloudstack_key_pairs"] == ["mine"]
    assert variables["cloudstack_security_groups"] == ["cluster"]
    assert variables["cloudstack_template_id"] == row["templateid"]
    assert variables["cloudstack_service_offering_id"] == row["serviceofferingid"]
    [card] = variables["cloudstack_nics"]
    assert (card["id"], card["secondary_ips"]) == (row["nic"][0]["id"], ["10.200.0.99"])


def test_15_the_options_about_certificates_reach_the_connection(double, read, tmp_path, recwarn):
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    pair = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command.split(), *pair], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    double.add_machine("m")
    double.server.socket = context.wrap_socket(double.server.socket, server_side=True)
    double.server.handle_error = lambda request, address: None
    endpoint = double.endpoint.replace("http:", "https:")
    with pytest.raises(AnsibleParserError, match=r"no trusted connection .* self-signed certificate"):
        read(endpoint=endpoint)
    assert read(endpoint=endpoint, ca_file=str(tmp_path / "cert.pem")).names == ["m"]
    assert read(endpoint=endpoint, dangerous_no_tls_verify=True).names == ["m"]


def test_16_all_that_the_key_can_see_is_asked_for(double, read):
    asked = []
    double.server.intercept = lambda command, params: asked.append((command, dict(params)))
    double.add_machine("m")
    read()
    assert [(command, params["listall"], params.get("projectid")) for command, params in asked] == [
        ("listVirtualMachines", "true", None),
        ("listVirtualMachines", "true", "-1"),
    ]
    assert "stats" not in json.dumps(asked)
