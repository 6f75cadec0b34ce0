"""What of the Debian packages layer0 leaves out: every megabyte is fetched by every node at every boot.

Checked by the tests: every library that a kept program or extension module needs must be there.
"""

from __future__ import annotations

PROGRAMS = (
    "busybox", "depmod", "insmod", "kexec", "kmod", "ldconfig", "lsmod", "modinfo", "modprobe",
    "nsenter", "python3", "rmmod", "zstd",
)  # fmt: skip
"""Beginnings of the names of programs that stay; busybox has the others."""

_LIBRARIES = (
    "gconv", "security", "krb5", "engines-3", "kexec-tools", "perl-base",
    "libaudit.so*", "libauparse.so*", "libcap-ng.so*", "libcrypt.so*", "libdb-5.3.so",
    "libexpatw.so*", "libext2fs.so*", "libe2p.so*", "libss.so*", "libcom_err.so*", "libgssapi*",
    "libk5crypto.so*", "libkrb5*", "libkeyutils.so*", "libmvec.so*", "libncursesw.so*",
    "libtinfo.so*", "libtic.so*", "libnsl.so*", "libpam*", "libpanelw.so*", "libmenuw.so*",
    "libformw.so*", "libreadline.so*", "libhistory.so*", "libsqlite3.so*", "libsystemd.so*",
    "libtirpc.so*", "libudev.so*", "libxenguest.so*", "libxenlight.so*", "libxlutil.so*",
    "libxenstat.so*", "libxenvchan.so*", "libxenstore.so*", "libxenhypfs.so*", "libblkid.so*",
    "libstdc++.so*", "libmount.so*", "libsmartcols.so*", "libuuid.so*", "libbsd.so*",
    "libmd.so*", "libgdbm*.so*", "libc_malloc_debug.so*", "libthread_db.so*", "libnss_*",
    "libpcprofile.so", "libmemusage.so", "libdebconfclient.so*", "libacl.so*", "libattr.so*",
)  # fmt: skip

_PYTHON = (
    "test", "idlelib", "pydoc_data", "pydoc.py", "_pyrepl", "ensurepip", "unittest", "doctest.py",
    "turtle*", "tkinter", "sqlite3", "dbm", "curses", "venv", "wsgiref", "xmlrpc", "config-*",
    "encodings/cp[0-8]*", "encodings/cp9*", "encodings/cp1*", "encodings/mac_*", "encodings/iso*",
    "encodings/koi8*", "encodings/big5*", "encodings/euc*", "encodings/gb*", "encodings/shift*",
    "encodings/hz.py", "encodings/johab.py", "encodings/kz1048.py", "encodings/ptcp154.py",
    "encodings/tis_620.py", "encodings/hp_roman8.py", "encodings/palmos.py",
    "lib-dynload/_codecs_*", "lib-dynload/_multibytecodec*", "lib-dynload/_test*",
    "lib-dynload/_ctypes_test*", "lib-dynload/xx*", "lib-dynload/_xx*", "lib-dynload/_sqlite3*",
    "lib-dynload/_curses*", "lib-dynload/_dbm*", "lib-dynload/_gdbm*", "lib-dynload/nis*",
    "lib-dynload/readline*", "lib-dynload/_uuid*", "lib-dynload/_crypt.*", "lib-dynload/_tkinter*",
    "lib-dynload/_lsprof*",
)  # fmt: skip

DROPPED = (
    *("dev", "boot", "media", "mnt", "srv", "home", "opt", "var"),
    *("etc/apt", "etc/cron.daily", "etc/dpkg", "etc/pam.d", "etc/security", "etc/systemd"),
    *("usr/games", "usr/include", "usr/src", "usr/libexec", "usr/share"),
    *("usr/lib/ipxe", "usr/lib/systemd", "usr/lib/xen-*", "usr/lib/valgrind", "usr/lib/mime"),
    *("usr/lib/locale", "usr/lib/tmpfiles.d", "usr/lib/dpkg", "usr/lib/apt", "usr/lib/init"),
    *("usr/lib/python3/dist-packages/bcrypt*", "usr/lib/python3/dist-packages/*.egg-info"),
    *(f"usr/lib/*-linux-gnu/{name}" for name in _LIBRARIES),
    *(f"usr/lib/python3.13/{name}" for name in _PYTHON),
)
"""Patterns of paths that are not unpacked (``tar --exclude``)."""
