"""What is known of NVSentinel: its names, what of it is deployed, how it is set."""
