"""PDF documents: their pages as pictures, and restored pages put back."""
