# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a CloudStack cloud is reached, for all that reaches one."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - The address of the CloudStack API, such as V(https://cloud.example.org/client/api).
    type: str
  key:
    description:
      - The API key of the account.
    type: str
  secret:
    description:
      - The secret that belongs to O(key). It signs the requests and is never sent, shown or logged.
    type: str
  config:
    description:
      - The ini file to read instead of C(~/.cloudstack.ini) and C(./cloudstack.ini). Of these two, the second wins.
    type: path
  region:
    description:
      - The section of the ini file. If it is given, it has to exist. Otherwise it is V(cloudstack), if there is one.
    type: str
  timeout:
    description:
      - Seconds without an answer after which a request counts as failed.
      - V(10) if nobody sets it.
    type: float
  method:
    description:
      - How requests are sent, V(get) or V(post). With V(get), key and signature show up in the logs of servers and proxies on the way, and
        long user data does not fit.
      - V(post) if nobody sets it.
    type: str
  ca_file:
    description:
      - A file with the certificates that the cloud's certificate is checked against, in place of the usual authorities.
      - The variable and the ini key are called C(CLOUDSTACK_VERIFY) and C(verify), as other programs have it.
    type: path
  dangerous_no_tls_verify:
    description:
      - Talk to any server that answers, without a look at its certificate.
      - V(false) if nobody sets it.
    type: bool
requirements:
  - cs >= 5.2.0
notes:
  - Each connection setting comes from the first of these that has it - the option, the C(CLOUDSTACK_*) variable of the
    environment, the section O(region) of the ini file. So an option beats a variable and a variable beats the file,
    for each setting on its own.
  - C(CLOUDSTACK_CERT) and C(CLOUDSTACK_CERT_KEY) name a client certificate and its key, C(CLOUDSTACK_POLL_INTERVAL)
    the seconds between two looks at a job. They are keys of the ini file as well, like all the settings.
  - After an answer 429, the request is sent again when the cloud says so. Reads are repeated after network faults,
    changes are not.
"""

    # Only plugins take options from the environment by declaration; a module's options are looked up when it runs.
    PLUGIN = r"""
options:
  endpoint:
    env: [{name: CLOUDSTACK_ENDPOINT}]
  key:
    env: [{name: CLOUDSTACK_KEY}]
  secret:
    env: [{name: CLOUDSTACK_SECRET}]
  config:
    env: [{name: CLOUDSTACK_CONFIG}]
  region:
    env: [{name: CLOUDSTACK_REGION}]
  timeout:
    env: [{name: CLOUDSTACK_TIMEOUT}]
  method:
    env: [{name: CLOUDSTACK_METHOD}]
  ca_file:
    env: [{name: CLOUDSTACK_VERIFY}]
  dangerous_no_tls_verify:
    env: [{name: CLOUDSTACK_DANGEROUS_NO_TLS_VERIFY}]
"""
