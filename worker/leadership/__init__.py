"""Who is active, and how long that can be proved: the lease, the fence, the watchdog, one leadership period."""
