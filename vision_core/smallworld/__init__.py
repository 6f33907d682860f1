"""The small world of editing, and the small networks that are trained in it."""
