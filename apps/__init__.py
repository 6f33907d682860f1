"""The pages: thin apps around `vision_core`."""

import os

# Two visitors may train at once on few cores: threads that wait for work must sleep, not spin. OpenMP reads
# this once, when torch is loaded. Measured on 2 busy cores: a training takes half the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
