"""What an XID is: NVIDIA's catalogue, the codes that it shows in CUDA and NVML, and what it asks for."""
