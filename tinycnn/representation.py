"""How layers and optimizers print: as the call that makes them again, with what differs from the defaults."""

from __future__ import annotations

import inspect
from typing import Any


def constructor_call(thing: Any) -> str:
    """The shortest call that makes an object like `thing`, whose class keeps each argument under the argument's name.

    >>> import tinycnn as tc
    >>> constructor_call(tc.Conv2D(8, 3, stride=1, padding="same", name="conv"))
    "Conv2D(filters=8, kernel=(3, 3), padding='same', name='conv')"
    """
    kind = type(thing)
    arguments = _arguments(thing)
    required = {
        name: getattr(thing, name, None)
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is parameter.empty
    }
    # Arguments are kept in a form of their own, a pair for a number and so on: what a default becomes, a twin shows.
    try:
        defaults = _arguments(kind(**required))
        changed = {name: text for name, text in arguments.items() if name in required or text != defaults[name]}
        twin = kind(**{name: getattr(thing, name) for name in changed})
        if _arguments(twin) == arguments:
            arguments = changed
    except Exception:  # a constructor may refuse what was not meant for it, in any way; then everything is shown
        pass
    return f"{kind.__name__}({', '.join(f'{name}={text}' for name, text in arguments.items())})"


def _arguments(thing: Any) -> dict[str, str]:
    """Each constructor argument's value, as text."""
    missing = "<not kept by the constructor>"
    return {
        name: repr(getattr(thing, name)) if hasattr(thing, name) else missing
        for name in inspect.signature(type(thing)).parameters
    }
