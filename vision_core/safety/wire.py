"""Messages between two processes: JSON, then the bytes of the arrays that it announces.

Not pickle, which could run code from a compromised decoder: messages hold only plain data, numeric arrays and
dataclasses of this package that this process has loaded.
"""

import json
import sys
from dataclasses import fields, is_dataclass
from typing import IO, Any

import numpy as np

MESSAGE_BYTES = 64 << 20  # maximum bytes of the JSON
ARRAY_BYTES = 2 << 30  # maximum bytes of all arrays in a message
OURS = ("vision_core.", "apps.")
_NUMBERS = "bBhHiIlLqQefd?"  # accepted array types


def send(pipe: IO[bytes], value: Any) -> None:
    """Write one message."""
    parts: list[Any] = []
    text = json.dumps(_packed(value, parts)).encode()
    pipe.write(len(text).to_bytes(4) + text)
    for part in parts:
        pipe.write(part)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: the other end is gone.
        ValueError: no message of `send`, or one that is too large.
    """
    length = pipe.read(4)
    if len(length) < 4:
        raise EOFError
    if int.from_bytes(length) > MESSAGE_BYTES:
        raise ValueError("the message is too long")
    return _unpacked(json.loads(pipe.read(int.from_bytes(length))), pipe, [ARRAY_BYTES])


def _packed(value: Any, parts: list[Any]) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case np.ndarray():
            parts.append(np.ascontiguousarray(value))
            return {"array": [value.dtype.char, value.shape]}
        case bytes():
            parts.append(value)
            return {"bytes": len(value)}
        case list():
            return [_packed(part, parts) for part in value]
        case tuple():
            return {"tuple": [_packed(part, parts) for part in value]}
        case dict():
            return {"dict": [[_packed(part, parts) for part in pair] for pair in value.items()]}
        case _ if is_dataclass(value):
            kind = type(value)
            content = [[field.name, _packed(getattr(value, field.name), parts)] for field in fields(value)]
            return {"dataclass": [kind.__module__, kind.__name__, content]}
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _unpacked(plain: Any, pipe: IO[bytes], room: list[int]) -> Any:
    """`room`: how many bytes of arrays may still come."""
    match plain:
        case {"array": [str(kind), [*shape]]} if kind in _NUMBERS:
            array = np.empty(_fits(shape, np.dtype(kind).itemsize, room), kind)
            if array.size and pipe.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:  # pyright: ignore[reportAttributeAccessIssue]
                raise EOFError
            return array
        case {"bytes": int(size)}:
            _fits([size], 1, room)
            if len(data := pipe.read(size)) != size:
                raise EOFError
            return data
        case {"tuple": [*values]}:
            return tuple(_unpacked(value, pipe, room) for value in values)
        case {"dict": [*pairs]}:
            return {_unpacked(key, pipe, room): _unpacked(value, pipe, room) for key, value in pairs}
        case {"dataclass": [str(module), str(name), [*content]]}:
            values = {key: _unpacked(value, pipe, room) for key, value in content}
            return _dataclass(module, name)(**values)
        case [*values]:
            return [_unpacked(value, pipe, room) for value in values]
        case None | bool() | int() | float() | str():
            return plain
    raise ValueError("that is no message")


def _fits(shape: list[Any], size: int, room: list[int]) -> list[int]:
    needed = size
    for side in shape:
        if type(side) is not int or side < 0 or len(shape) > 8:
            raise ValueError("that is no shape of an array")
        needed *= side
    if needed > room[0]:
        raise ValueError("the arrays are too large")
    room[0] -= needed
    return shape


def _dataclass(module: str, name: str) -> type:
    kind = getattr(sys.modules.get(module), name, None) if module.startswith(OURS) else None
    if not isinstance(kind, type) or not is_dataclass(kind):
        raise ValueError("that is no kind of ours")
    return kind
