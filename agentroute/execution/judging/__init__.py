"""Marks for answers by an agent: what a judge sees, and a judge beside what is served."""
