# What both example image builders share: where Debian comes from, the cache, OCI layouts and pushing.
# shellcheck shell=bash

set -euo pipefail
export SOURCE_DATE_EPOCH=1760000000 LC_ALL=C.UTF-8

CACHE=/var/cache/kedge/images
VERSION=1
VARIANT=a
REGISTRY=
AUTHFILE=
CERT_DIR=
INSECURE=no
OUTPUT=

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "$*"; exit 1; }

usage() {
    cat >&2 <<USAGE
usage: ${0##*/} [options]        build the image $IMAGE and say where it is

  --version N          the tag, and what /usr/lib/kedge-example/version says   [$VERSION]
  --variant V          a: as it is; b: another userland; host: another host file   [$VARIANT]
  --registry H:P       push as H:P/$IMAGE:N (else only the OCI layout is made)
  --authfile FILE      credentials of the registry, as "skopeo login --authfile" writes them
  --cert-dir DIR       a folder with the registry's ca.crt
  --insecure           the registry speaks plain HTTP
  --cache DIR          where built layers are kept   [$CACHE]
  --output DIR         the OCI layout to write   [CACHE/layouts/$IMAGE-N-V]
USAGE
    exit 64
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --version) VERSION=$2; shift 2 ;;
            --variant) VARIANT=$2; shift 2 ;;
            --registry) REGISTRY=$2; shift 2 ;;
            --authfile) AUTHFILE=$2; shift 2 ;;
            --cert-dir) CERT_DIR=$2; shift 2 ;;
            --insecure) INSECURE=yes; shift ;;
            --cache) CACHE=$2; shift 2 ;;
            --output) OUTPUT=$2; shift 2 ;;
            *) usage ;;
        esac
    done
    case $VARIANT in a | b | host) ;; *) fail "unknown variant '$VARIANT' (a, b or host)" ;; esac
    case $VERSION in *[!A-Za-z0-9_.-]* | '') fail "'$VERSION' is no tag" ;; esac
    [ "$(id -u)" = 0 ] || fail "needs root (device nodes and owners of files)"
    local program
    for program in mmdebstrap umoci skopeo tar flock; do
        command -v "$program" >/dev/null || fail "needs $program: apt-get install $program"
    done
    OUTPUT=${OUTPUT:-$CACHE/layouts/$IMAGE-$VERSION-$VARIANT}
    mkdir -p "$CACHE/layers" "${OUTPUT%/*}"
}

# The mirror that this machine's own apt uses, so that a site's mirror is honoured.
debian_mirror() {
    if [ -n "${KEDGE_DEBIAN_MIRROR:-}" ]; then
        echo "$KEDGE_DEBIAN_MIRROR"
        return
    fi
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' \
        'Label: Debian' | sed 's,/$,,' | sort -u | head -n 1
}

# Documentation and translations are of no use on a node without a person in front of it.
SLIM=(
    --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/info/*'
    --dpkgopt='path-exclude=/usr/share/locale/*'
    --dpkgopt='path-exclude=/usr/share/lintian/*'
    --dpkgopt='path-exclude=/usr/share/bash-completion/*'
    --dpkgopt='path-exclude=/usr/share/zsh/*'
    --dpkgopt='path-exclude=/boot/System.map-*'
    # Names of devices for people to read: 25 MB, and minutes of an emulated first boot to compile them.
    --dpkgopt='path-exclude=/usr/lib/udev/hwdb.d/*'
    --dpkgopt='path-exclude=/boot/config-*'
    # The kernel's initramfs is Kedge's own: do not build another.
    --dpkgopt='path-exclude=/etc/kernel/postinst.d/initramfs-tools'
)

# Changes with the builder, so that a layer which an older one made is not taken for what it says now.
FINGERPRINT=$(cat "$0" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-12)

# build_once NAME FUNCTION: the layer CACHE/layers/NAME-*.tar, made by FUNCTION TARGET unless it is there.
build_once() {
    local layer=$CACHE/layers/$1-$FINGERPRINT.tar
    (
        flock 9
        if [ ! -e "$layer" ]; then
            say "building the layer $1"
            "$2" "$layer.part"
            mv "$layer.part" "$layer"
        fi
    ) 9>"$layer.lock"
    echo "$layer"
}

# What a node without a disk, a screen and a person does not need: each costs up to seconds of every boot.
NEEDLESS_UNITS=(
    systemd-hwdb-update.service systemd-journal-catalog-update.service ldconfig.service
    systemd-update-done.service systemd-sysusers.service systemd-firstboot.service
    systemd-boot-random-seed.service systemd-pstore.service systemd-hibernate-clear.service
    systemd-networkd-persistent-storage.service
    systemd-pcrmachine.service systemd-pcrphase.service systemd-pcrphase-sysinit.service
    systemd-tpm2-setup.service systemd-tpm2-setup-early.service
    modprobe@configfs.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service
    getty.target  # nobody has a password here, and a busy machine finds its serial port late
    modprobe@dm_mod.service sys-fs-fuse-connections.mount sys-kernel-config.mount
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount
)

# The thin top layer: what makes one version or variant differ from another.
build_top_layer() {
    local tree=$1.tree
    rm -rf "$tree"
    mkdir -p "$tree/etc" "$tree/usr/lib/kedge-example"
    echo "$VERSION" >"$tree/usr/lib/kedge-example/version"
    echo "$VARIANT" >"$tree/usr/lib/kedge-example/variant"
    if [ "$VARIANT" = b ]; then
        printf '#!/bin/sh\necho "the other userland, version %s"\n' "$VERSION" \
            >"$tree/usr/lib/kedge-example/hello"
        chmod 755 "$tree/usr/lib/kedge-example/hello"
    fi
    echo "Kedge example image $IMAGE:$VERSION" >"$tree/etc/motd"
    if [ "$VARIANT" = host ]; then
        echo "only this host file differs" >>"$tree/etc/motd"
    fi
    tar -C "$tree" --numeric-owner --owner=0 --group=0 --sort=name \
        --mtime="@$SOURCE_DATE_EPOCH" -cf "$1" .
    rm -rf "$tree"
}

# write_layout ARCH LAYER...: an OCI layout of these layers, bottom first, unless it is there.
write_layout() {
    local arch=$1 layer
    shift
    if [ "$(cat "$OUTPUT/made-of" 2>/dev/null)" = "$*" ]; then
        return
    fi
    rm -rf "$OUTPUT.part"
    umoci --log=error init --layout "$OUTPUT.part"
    umoci --log=error new --image "$OUTPUT.part:$VERSION"
    for layer in "$@"; do
        umoci --log=error raw add-layer --image "$OUTPUT.part:$VERSION" "$layer"
    done
    umoci --log=error config --image "$OUTPUT.part:$VERSION" --architecture "$arch" --os linux \
        --config.label "org.opencontainers.image.title=$IMAGE" \
        --config.label "kedge.kernel.args=$KERNEL_ARGS"
    umoci --log=error gc --layout "$OUTPUT.part"
    echo "$*" >"$OUTPUT.part/made-of"
    rm -rf "$OUTPUT"
    mv "$OUTPUT.part" "$OUTPUT"
}

push() {
    [ -n "$REGISTRY" ] || return 0
    local options=(--quiet)
    [ -z "$AUTHFILE" ] || options+=(--authfile "$AUTHFILE")
    [ -z "$CERT_DIR" ] || options+=(--dest-cert-dir "$CERT_DIR")
    [ "$INSECURE" = no ] || options+=(--dest-tls-verify=false)
    skopeo copy "${options[@]}" "oci:$OUTPUT:$VERSION" "docker://$REGISTRY/$IMAGE:$VERSION"
    say "pushed $REGISTRY/$IMAGE:$VERSION"
}
