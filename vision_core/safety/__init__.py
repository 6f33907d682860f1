"""Untrusted input: guarded processes, limits, and sentences about faults."""
