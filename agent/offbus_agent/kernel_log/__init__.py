"""The kernel log: its lines, and one interface for `/dev/kmsg` and the record file."""
