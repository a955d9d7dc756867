"""Agents that are called in this process: functions and runnables."""
