"""The stand-in responder's controller: cordon, drain, remediation, uncordon."""
