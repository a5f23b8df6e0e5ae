"""The kernel log: its lines, `/dev/kmsg` and the record file behind one interface."""
