"""Nodes: folders with stand-in GPUs, a kernel log and an agent."""
