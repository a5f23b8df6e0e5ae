"""The step types that inject faults, where a fault goes, and their undos."""
