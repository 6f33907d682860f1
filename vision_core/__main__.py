"""`python -m vision_core`, also what `accelerate launch -m vision_core` runs."""

from vision_core.cli import main

main()
