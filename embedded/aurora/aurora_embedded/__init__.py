# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded default scheduler, executor, observer and clients of aurora.cluster."""

VERSION = "0.22.0+embedded3"
