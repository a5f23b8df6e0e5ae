"""What the tests of detectors' rules are made with: their own regular expression engine."""
