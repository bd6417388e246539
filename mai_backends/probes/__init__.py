"""Sensors of the machine Mai runs on. docs/machines.md says what each reads, and where that was tried.

system   memory, processor, pressure and battery
    main_memory  what this process may take     memory   the machine's own      cgroup   what a control group leaves
    processor    cores and how busy they are    limits   ulimit                 stillness  whether figures still move
    pressure     waiting for memory
nvidia   NVIDIA's GPUs              nvml     the driver's library as plain values
drm      AMD's and Intel's GPUs     amd, intel, card, fdinfo, pci
apple    what a GPU may take of the memory it shares
"""
