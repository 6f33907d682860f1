"""The pages: thin apps around `vision_core`."""

import os

# A training takes one core and leaves the others to the pages. OpenMP reads this once, when torch is loaded.
# Measured on two cores with the browser beside: 17 s for one training, as with two threads; for two visitors'
# trainings at once 25 s, and 28 to 32 s with two threads each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
