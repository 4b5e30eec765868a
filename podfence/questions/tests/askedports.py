"""The ports that the tests of a file name, for judges that send packets."""

from __future__ import annotations

from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import PolicyTests
from podfence.sets.ports import MAX_PORT, OTHER


def asked_ports(file: PolicyTests, resolver: Resolver) -> tuple[tuple[str, int], ...]:
    """The ends of the ranges of ports that tests name by number, so that packets are sent there;
    of a Service, the ports behind it."""
    targets = [
        (target, common)
        for test in file.tests
        for each, common in (
            (test.targets or (), test.ports),
            *((item.targets, item.ports) for item in test.only or ()),
        )
        for target in each
    ]
    specs = {test.ports.numbers for test in file.tests}
    specs |= {item.ports.numbers for test in file.tests for item in test.only or ()}
    specs |= {target.ports.numbers for target, _ in targets if target.ports is not None}
    specs |= {
        aim.ports.numbers
        for target, common in targets
        if resolver.is_service(target.end)
        for aim in resolver.aims((target,), common)
    }
    found = {
        (protocol, port)
        for numbers in specs
        for protocol, low, high in numbers.ranges()
        if protocol != OTHER and (low, high) != (0, MAX_PORT)
        for port in (low, high)
    }
    return tuple(sorted(found))
