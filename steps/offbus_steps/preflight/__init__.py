"""What is looked at before a drill touches anything."""
