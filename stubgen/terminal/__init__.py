"""What people read: how wide it may be, in which colours, with which names."""
