"""Sensors of the machine Mai runs on.

system     one reading of memory, processor, pressure and battery
memory     bytes free here              cgroup    what a control group leaves of that
processor  cores and how busy they are  pressure  how much waiting for memory there is
"""
