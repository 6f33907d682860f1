"""A generated page and a small network."""

import pytest
import torch

from vision_core import devices
from vision_core.pictures.images import Picture
from vision_core.restoration import PageRestorer, networks, pages

SMALL = {"widths": (8, 8, 8, 8), "down": (1, 1, 1, 1), "up": (1, 1, 1), "light": (4, 8, 8)}


@pytest.fixture(scope="session")
def page():
    """uint8 (3, 128, 96)."""
    return pages.page(1, width=96, height=128).pixels


@pytest.fixture(scope="session")
def picture(page):
    return Picture(page.permute(1, 2, 0).contiguous().numpy(), dpi=(300, 300))


def small_network() -> PageRestorer:
    with devices.seeded(0):
        return PageRestorer(**SMALL)


@pytest.fixture
def untrained():
    """A small network that changes nothing."""
    return small_network()


@pytest.fixture
def network():
    """A small network that changes something."""
    network, rng = small_network(), devices.generator(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():  # what keeps an untrained network from changing anything
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.05)
        network.light.error.bias.copy_(torch.tensor([-9.0, -3.0]))  # sure of its light
    return network.eval()


@pytest.fixture
def tiny_network(monkeypatch):
    """`networks.build("pages")` builds the small one."""

    class Small(PageRestorer):
        def __init__(self, **architecture) -> None:
            super().__init__(**(architecture or SMALL))

    Small.__name__ = PageRestorer.__name__  # as its checkpoints name it
    monkeypatch.setattr(networks, "PageRestorer", Small)
