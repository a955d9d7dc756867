"""What several commands share, and the parts of long ones."""
