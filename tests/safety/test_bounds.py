"""Tests that every network declares bounds for its constructor arguments."""

import importlib
import inspect
import pkgutil
import time

import pytest
import torch
from torch import nn

import vision_core
from vision_core.safety.bounds import OneOf, Real, Several, Text, Whole, check


def networks() -> dict[str, type[nn.Module]]:
    """Every module of ours that tells its constructor's arguments, as `checkpoints.save` needs it."""
    classes = {}
    for module in pkgutil.walk_packages(vision_core.__path__, "vision_core."):
        if module.name.startswith("vision_core.cli") or module.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == module.name:
                if "architecture" in vars(kind) or "self.architecture" in inspect.getsource(kind):
                    classes[f"{module.name}.{kind.__name__}"] = kind
    return classes


NETWORKS = networks()


def test_the_networks_are_found():
    assert len(NETWORKS) >= 11 and "vision_core.restoration.network.PageRestorer" in NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_every_argument_has_bounds_and_the_defaults_lie_within(name):
    arguments = inspect.signature(NETWORKS[name].__init__).parameters
    bounds = NETWORKS[name].bounds  # pyright: ignore[reportAttributeAccessIssue]
    assert set(bounds) == set(arguments) - {"self"}
    for argument, bound in bounds.items():
        default = arguments[argument].default
        assert default is inspect.Parameter.empty or bound.allows(default), argument


def largest(bound):
    match bound:
        case Whole() | Real():
            return bound.high
        case Text():
            return "x" * bound.longest
        case OneOf():
            return bound.values[0]
        case Several():
            return [largest(bound.inner)] * bound.most


@pytest.mark.parametrize("name", NETWORKS)
def test_the_largest_within_the_bounds_is_built_or_refused_in_seconds(name):
    """On `meta`, as `checkpoints.load` builds it first: what is too many is the number of its parts."""
    arguments = {argument: largest(bound) for argument, bound in NETWORKS[name].bounds.items()}
    if "classes" in arguments:
        arguments["classes"] = [f"{n}" for n in range(len(arguments["classes"]))]
    start = time.process_time()
    try:
        with torch.device("meta"):
            NETWORKS[name](**arguments)
    except (ValueError, RuntimeError, AssertionError, TypeError, ZeroDivisionError):
        pass
    assert time.process_time() - start < 20


ODD = (
    None,
    True,
    -1,
    0,
    10**7,
    2**64,
    0.5,
    float("nan"),
    float("inf"),
    "x",
    "x" * 10**6,
    [],
    [1] * 10**6,
    {},
    [[1]],
)


def test_bounds_are_checked_by_kind():
    allowed = {
        Whole(0, 10): (0,),
        Real(0, 1): (0, 0.5),
        Text(9): ("x",),
        OneOf("x", None): (None, "x"),
        OneOf(True, False): (True,),
        Several(Whole(0, 10), 0, 9): ([],),
        Several(Whole(0, 10), 1, 9, optional=True): (None,),
        Several(Several(Whole(1, 1), 1, 1), 1, 9): ([[1]],),
    }
    for bound, values in allowed.items():
        for odd in ODD:
            right = any(type(odd) is type(value) and odd == value for value in values)
            assert bound.allows(odd) is right, (bound, odd)
        check({"size": values[0]}, {"size": bound})
        with pytest.raises(ValueError, match=r"size is .*; .* was expected"):
            check({"size": object()}, {"size": bound})
    with pytest.raises(ValueError, match="it names 'other'"):
        check({"other": 1}, {})
