"""Which environment variables set something, so that a misspelt one is not passed over in silence.

In: a settings model, a prefix and the environment. Out: the variables with that prefix that set
nothing, each with advice.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, get_origin

from pydantic import BaseModel

__all__ = ["unknown_variables"]

_OF_THE_TESTS: Final = frozenset({"STREAMREC_REQUIRE_KAFKA"})
# Kubernetes sets these in every pod beside a service whose name begins with streamrec.
_OF_A_SERVICE: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*"
    r"|\w+_PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)


def unknown_variables(model: type[BaseModel], prefix: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with the prefix that set nothing in the model, each with what to do about it."""
    known = list(_variables(model, prefix))
    found: dict[str, str] = {}
    for name, value in environment.items():
        variable = name.upper()
        if (
            not variable.startswith(prefix)
            or variable in (*known, *_OF_THE_TESTS)
            # What follows may be any key of a mapping.
            or any(variable.startswith(each) for each in known if each.endswith("__"))
            or _OF_A_SERVICE.fullmatch(f"{variable}={value}")
        ):
            continue
        rests = [each.removeprefix(prefix) for each in known if not each.endswith("__")]
        near = get_close_matches(variable.removeprefix(prefix), rests, n=1)
        found[name] = f"did you mean {prefix}{near[0]}?" if near else "see `streamrec config show`"
    return found


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Every variable that sets something; one that ends with `__` is followed by a key."""
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        yield variable
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, f"{variable}__")
        elif get_origin(field.annotation) is dict:
            yield f"{variable}__"
