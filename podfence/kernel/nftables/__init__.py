"""Our table in the kernel, written and read through netlink."""
