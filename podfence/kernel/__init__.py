"""The machine: netlink, nftables, network namespaces. Nothing in here reads manifests."""
