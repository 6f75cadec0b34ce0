"""Where intent, the last discovered state and the event log outlive the process."""
