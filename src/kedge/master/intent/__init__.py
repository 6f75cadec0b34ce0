"""What people want: configuration, settings, holds and releases, each change one transaction of the store."""
