"""The XID catalogue: NVIDIA's table, each XID's codes in CUDA and NVML, and the recommended action."""
