"""What earlier runs leave to later ones: data to compare with, a champion, looks at the test split, tuning jobs."""
