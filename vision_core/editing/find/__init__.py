"""Where things are in a picture: saliency, words, and the marks a person makes."""
