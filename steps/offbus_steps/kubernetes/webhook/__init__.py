"""The admission webhook for clusters without MutatingAdmissionPolicy."""
