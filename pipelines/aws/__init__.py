"""One session and clear errors for everything that talks to AWS."""
