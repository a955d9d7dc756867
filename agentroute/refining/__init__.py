"""What to answer, sans-IO: merging, voting, answer extraction, agreement."""
