"""The pages: thin apps around `vision_core`."""

import os

# Visitors share few cores: a training takes one of them, and the page the other. OpenMP reads this once, when
# torch is loaded. Measured on two cores: alone as fast as with both, and two trainings at once in 25 s, not 45.
os.environ.setdefault("OMP_NUM_THREADS", "1")
