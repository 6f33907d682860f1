"""The digit explorer: watch a small convolutional network learn, epoch by epoch."""
