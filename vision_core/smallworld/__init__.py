"""The small world: drawn scenes with captions, and small networks trained on them."""
