# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the double by hand: python3 -m tests.doubles.cloudstack, in the root of the checkout.

It prints what a client needs and answers until it is ended.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from . import Double, Fault, Throttle
from .hosting import Hosting
from .world import OFFERINGS, TEMPLATES, USERS, ZONES


def seconds_of(text: str) -> tuple[str, float]:
    command, _equals, value = text.rpartition("=")
    return command or "*", float(value)


def fault_of(text: str) -> Fault:
    """COMMAND[:NAME[:TEXT]]"""
    command, _colon, rest = text.partition(":")
    name, _colon, message = rest.partition(":")
    fault = Fault(command, name=name or None)
    return Fault(command, message or fault.text, name=fault.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--page-size", type=int, default=500, help="the largest page it answers with")
    parser.add_argument("--machines", type=int, default=0, help="so many running machines from the start")
    parser.add_argument(
        "--seconds",
        type=seconds_of,
        action="append",
        default=[],
        metavar="[COMMAND=]SECONDS",
        help="how long jobs take",
    )
    parser.add_argument("--fail", type=fault_of, action="append", default=[], metavar="COMMAND[:NAME[:TEXT]]")
    parser.add_argument("--throttle", type=int, metavar="CALLS", help="so many calls per second and account")
    parser.add_argument("--hardened", action="store_true", help="insist on POST and on times close to now")
    parser.add_argument("--answers", choices=["cloudstack", "retired", "proxy"], default="cloudstack")
    parser.add_argument("--state", type=Path, help="a file that keeps what the double knows when it is ended")
    parser.add_argument(
        "--local-set",
        metavar="NAME",
        help="put real machines of this computer behind the instances, as a set of this name",
    )
    parser.add_argument("--local-image", type=Path, help="the image they are made from, see README.md")
    arguments = parser.parse_args()
    if bool(arguments.local_set) != bool(arguments.local_image):
        parser.error("--local-set and --local-image go together")

    double = Double(
        port=arguments.port,
        address=arguments.address,
        page_size=arguments.page_size,
        seconds=dict(arguments.seconds),
        throttle=Throttle(arguments.throttle, 1) if arguments.throttle else None,
        hardened=arguments.hardened,
        answers=arguments.answers,
        hosting=Hosting(arguments.local_set, arguments.local_image) if arguments.local_set else None,
        state=arguments.state,
    )
    double.cloud.faults += arguments.fail
    for number in range(arguments.machines - len(double.cloud.rows["machine"])):
        double.add_machine(f"machine-{number:05}")
    signal.signal(signal.SIGTERM, lambda *_arguments: signal.raise_signal(signal.SIGINT))
    with double:
        for name, value in double.environment().items():
            print(f"export {name}={value}")
        print(f"# users {', '.join(user.account for user in USERS)}: the key is NAME-key, the secret NAME-secret")
        print(
            f"# zones {', '.join(ZONES)}; offerings {', '.join(OFFERINGS)}; templates {', '.join(TEMPLATES)}",
            flush=True,
        )
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
