"""Pictures: the one door for their files, colour profiles and spaces, metadata, documents of pages."""
