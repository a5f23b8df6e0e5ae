"""A drill's journal, told to views and reports."""
