"""Colour transfer."""
