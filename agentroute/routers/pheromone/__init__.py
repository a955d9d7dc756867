"""Ant-colony routing: specialists of trails for each kind of task, fused by what the task is."""
