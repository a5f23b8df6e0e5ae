"""What a responder was seen to do on a cluster: recorded in a file, and compared with a release's course."""
