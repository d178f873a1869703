"""The conformance kit, and victims whose worst case is known exactly.

One line in an author's test: ``conforms("attack", MyAttack, domain="trajectory")``; or one test per check:
``@pytest.mark.parametrize("check", checks("attack", MyAttack, domain="trajectory"), ids=str)``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robeval.testing.conformance import Broken, checks, conforms

__all__ = ["Broken", "checks", "conforms"]


def __getattr__(name: str) -> object:
    # On first use: `robeval.testing.linear` and `canaries` do not need the engine.
    if name not in __all__:
        raise AttributeError(f"module 'robeval.testing' has no attribute {name!r}")
    from robeval.testing import conformance

    return getattr(conformance, name)
