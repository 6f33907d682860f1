"""What is put into a marked part: exemplars, the trained filler, diffusion."""
