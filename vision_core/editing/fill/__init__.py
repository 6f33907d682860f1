"""Painters, which fill a marked region: with patches, the trained filler, LaMa or diffusion."""
