"""What Gradio keeps of each open page of an app, reduced to what the pages need."""

from types import SimpleNamespace
from typing import Any

from gradio import Blocks
from gradio.state_holder import SessionState, StateHolder


class OpenPages(StateHolder):
    """The states of all open pages; the least recently used go when there are too many."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = OpenPage(self.blocks)
        return super().__getitem__(session_id)


class OpenPage(SessionState):
    """The values of `gr.State` of one page.

    Gradio also copies each component and what it shows, for deep links, which the pages do not have. That
    takes 100 to 250 kB and 10 ms a page, or as much as a visitor sends, and any request may invent pages.
    """

    def __init__(self, blocks: Blocks) -> None:
        empty: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())
        super().__init__(empty)

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
