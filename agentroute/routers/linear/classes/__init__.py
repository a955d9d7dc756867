"""The class head: which class of tasks a text belongs to."""
