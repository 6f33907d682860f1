"""Errors as messages for the visitor; our own errors are also logged."""

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from apps.shared import visits
from vision_core.extras import ExtraMissing
from vision_core.safety import messages
from vision_core.weights import WeightsMissing

log = logging.getLogger("vision_core.apps")


@contextmanager
def sentences() -> Iterator[None]:
    """Turn errors of the visitor into a message, and our own into a log entry and an apology."""
    try:
        yield
    except gr.Error:
        raise
    except (ValueError, FloatingPointError, WeightsMissing, ExtraMissing) as error:
        raise refusal(sentence(error)) from error
    except OSError as error:
        log.exception("an event failed")
        text = "The server's disk is full: nothing was saved" if visits.is_full(error) else visits.FAILED
        raise refusal(f"{text}.") from error
    except Exception as error:
        log.exception("an event failed")
        raise refusal("Something went wrong on our side; it was written to the log.") from error


def refusal(text: str) -> gr.Error:
    """A `gr.Error` with an escaped message: Gradio shows it as HTML."""
    return gr.Error(escape(text, quote=False), print_exception=False)


def user_errors(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler (function or generator) so that the visitor sees its errors as messages."""
    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def stream(*args: Any) -> Iterator[Any]:
            with sentences():
                yield from handler(*args)

        return stream

    @wraps(handler)
    def call(*args: Any) -> Any:
        with sentences():
            return handler(*args)

    return call


def sentence(error: Exception) -> str:
    """The text of the error as a sentence, without paths of the server."""
    text = re.sub(r"(?<!\S)/(?:[^\s/]+/)+", "", messages.sentence(error, 1000)).strip()
    text = messages.sentence(text or "That cannot be used")
    if "." not in text.split()[0]:  # a file's name stays as it is
        text = text[0].upper() + text[1:]
    return text + ("" if text[-1] in ".!?" else ".")
