"""Speech found, told apart and turned into features."""
