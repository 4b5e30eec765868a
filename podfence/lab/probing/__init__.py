"""What runs inside the processes of a lab: namespaces, senders, responders."""
