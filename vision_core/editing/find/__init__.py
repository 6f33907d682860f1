"""Finds things in a picture: saliency, words, and a person's marks."""
