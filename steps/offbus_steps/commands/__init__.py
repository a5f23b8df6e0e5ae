"""Commands of offbus that need to know responders and clusters: entry points of the group `offbus.commands`."""
