"""Slow imports of the trainers, for the process that `test_killed` forks."""

from vision_core import torchvision_cpu

torchvision_cpu.prepare()

import accelerate  # noqa: E402, F401
import open_clip  # noqa: E402, F401
import torch._dynamo  # noqa: E402, F401
import torchvision.models  # noqa: E402, F401

from vision_core.color import trainer  # noqa: E402, F401
from vision_core.digits import train as digits  # noqa: E402, F401
from vision_core.editing import train as anchors  # noqa: E402, F401
from vision_core.leaves import train as leaves  # noqa: E402, F401
from vision_core.restoration import train as restoration  # noqa: E402, F401
from vision_core.smallworld import train as tiny  # noqa: E402, F401
