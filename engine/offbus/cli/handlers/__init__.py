"""What each command does; a file has the name of its command."""
