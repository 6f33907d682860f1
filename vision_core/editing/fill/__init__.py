"""Painters, which fill a marked region: by exemplars, the trained filler or diffusion."""
