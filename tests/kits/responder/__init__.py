"""A world for the stand-in responder."""
