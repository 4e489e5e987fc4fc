"""What an untrusted dataset may bring: images made to break a decoder, and items that break their worker."""
