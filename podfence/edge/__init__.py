"""Where the world is touched: files, the kernel, namespaces. Nothing below imports this room."""
