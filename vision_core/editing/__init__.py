"""Text-driven region editing: find where to edit, edit there, leave the rest untouched."""
