"""Entry point of `python -m vision_core` and `accelerate launch -m vision_core`."""

from vision_core.cli import main

main()
