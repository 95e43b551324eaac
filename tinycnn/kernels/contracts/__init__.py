"""What each kernel asks of its arguments, checked at the door of `reference`, `cpu` and `gpu` alike.

The fast kernels read memory by computed addresses: filters of three channels, slid over an image of one, would read
outside it and return numbers. So each operation has a rule here, of the same name and arguments; `guard` puts the rules
in front of a kernel module's public functions, whose own pages stay free of them, and which call each other unchecked.

A rule looks at shapes, dtypes and options, never at the numbers in an array: that costs a microsecond or two, and no
waiting for a GPU. It raises ValueError or TypeError with a sentence that names the argument and says what would fit.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from tinycnn.kernels.contracts import activation, blocks, conv, dense, input, loss, norm, pool, update

RULES: dict[str, Callable[..., None]] = {
    name: rule
    for module in (activation, blocks, conv, dense, input, loss, norm, pool, update)
    for name, rule in vars(module).items()
    if inspect.isfunction(rule) and rule.__module__ == module.__name__ and not name.startswith("_")
}
TUPLES = ("kernel", "pool", "stride", "padding", "dilation", "input_shape")


def guard(module: dict[str, Any], names: Iterable[str]) -> None:
    """Put its rule in front of each named function of a module, given as the module's `globals()`."""
    for name in names:
        if name in RULES and not hasattr(module[name], "__wrapped__"):  # `cpu` takes some over from `reference`
            module[name] = checked(module[name], RULES[name])


def checked(function: Callable[..., Any], rule: Callable[..., None]) -> Callable[..., Any]:
    """`function`, which first asks `rule` about its arguments."""

    @functools.wraps(function)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        try:
            rule(*args, **kwargs)
        except (AttributeError, TypeError) as error:  # a list where an array or a tuple belongs?
            raise _better(error, function, args, kwargs) from None
        return function(*args, **kwargs)

    return kernel


def _better(error: Exception, function: Callable[..., Any], args: Any, kwargs: Any) -> Exception:
    """The error that says which argument is of the wrong kind, or the one at hand if that is not the reason."""
    try:
        arguments = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError as wrong_call:
        return TypeError(f"{function.__name__}: {wrong_call}")
    kinds = inspect.signature(function).parameters
    for name, value in arguments.items():
        if name in TUPLES and not isinstance(value, tuple):
            return TypeError(f"{name} is {value!r}: give a tuple of whole numbers")
        annotation = str(kinds[name].annotation)
        is_array = annotation.startswith(("Array", "np.ndarray"))
        if is_array and not (value is None and "None" in annotation) and not hasattr(value, "dtype"):
            return TypeError(f"{name} is a {type(value).__name__}: give a NumPy or CuPy array")
    return error
