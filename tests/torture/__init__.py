"""What tries to lose a run."""
