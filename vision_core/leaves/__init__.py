"""The leaf classifier: learns diseases from a folder of leaves, and says how sure it is and what it knows."""
