"""Values that nobody will store: while the active run is disabled, they are parsed only if someone looks."""

from __future__ import annotations

import functools
from typing import Any, Final, TypeVar

__all__ = ["deferrable", "switch"]

Class = TypeVar("Class", bound=type)


class Switch:
    """Whether what is logged goes nowhere; the owner of the active run sets it."""

    off = False


#: the process's switch
switch: Final = Switch()


def deferrable(cls: Class) -> Class:
    """Make a class keep its arguments, and parse them at the first access, while the switch is off.

    Logging to a disabled run then costs no more than the calls. What is wrong with the arguments is
    raised when somebody looks, which a disabled run never does.
    """
    parse = cls.__init__  # type: ignore[misc]  # of this very class

    @functools.wraps(parse)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes the class's
        if switch.off:
            self.__dict__["_later"] = args, kwargs
        else:
            parse(self, *args, **kwargs)

    def __getattr__(self: Any, name: str) -> Any:  # noqa: N807  # as above
        later = self.__dict__.pop("_later", None)  # popped first: parsing may ask for what is not there yet
        if later is None:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}", name=name, obj=self)
        try:
            parse(self, *later[0], **later[1])
        except BaseException:
            self.__dict__.clear()
            self.__dict__["_later"] = later
            raise
        return getattr(self, name)

    cls.__init__ = __init__  # type: ignore[misc]
    cls.__getattr__ = __getattr__  # type: ignore[attr-defined]
    return cls
