"""Five small vision systems that you can watch learn and then use."""

__version__ = "0.1.0"
