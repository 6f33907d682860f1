"""What every page needs, once."""
