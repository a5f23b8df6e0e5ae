"""The sandbox's controllers: each reconciles one kind of object."""
