"""NVSentinel: its names, which parts are deployed, how they are configured."""
