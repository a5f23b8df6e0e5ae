"""Syntax: from a file to a tree whose values know their positions."""
