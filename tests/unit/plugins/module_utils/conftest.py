# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of replacing a hosts file share."""

from __future__ import annotations

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def module():
    with patch_module_args({}):
        return AnsibleModule(argument_spec={})
