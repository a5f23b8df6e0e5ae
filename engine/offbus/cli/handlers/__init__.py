"""What each command does; each file is named after its command."""
