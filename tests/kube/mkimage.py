#!/usr/bin/env python3
"""mkimage.py OUT.tar NAME:TAG ENTRYPOINT FILE=PATH...

An OCI image archive with one layer, made from files alone, without a container engine. Its user is 65532, and it holds nothing else.
Nothing of the machine or the hour gets in (no times, no owners, sorted order): equal files give equal archives.
"""

import hashlib
import io
import json
import os
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
USER = "65532:65532"
OCI = "application/vnd.oci.image"


def tar_of(entries):
    """A tar archive of (name, content, mode), with the directories that lead there."""
    buffer, seen = io.BytesIO(), set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, mode in entries:
            parents = name.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                directory = "/".join(parents[:depth])
                if directory not in seen:
                    seen.add(directory)
                    info = tarfile.TarInfo(directory)
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(info)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def descriptor(kind, content, **more):
    return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{sha256(content)}", "size": len(content), **more}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def document(value):
    return json.dumps(value, sort_keys=True).encode()


def names(name):
    """A bare name is localhost/NAME to podman and docker.io/library/NAME to containerd: the archive answers to both."""
    return [name] if "/" in name else [f"localhost/{name}", f"docker.io/library/{name}"]


def image(name, entrypoint, files):
    layer = tar_of(sorted(files))
    config = document({
        "architecture": ARCHITECTURES[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": entrypoint.split(), "User": USER},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}"]},
    })
    manifest = document({
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar", layer)],
    })
    called = [
        descriptor("manifest.v1+json", manifest, annotations={
            "io.containerd.image.name": full,
            "org.opencontainers.image.ref.name": full.rsplit(":", 1)[1],
        })
        for full in names(name)
    ]
    blobs = [(f"blobs/sha256/{sha256(blob)}", blob, 0o644) for blob in (layer, config, manifest)]
    index = document({"schemaVersion": 2, "manifests": called})
    return tar_of([*blobs, ("index.json", index, 0o644), ("oci-layout", document({"imageLayoutVersion": "1.0.0"}), 0o644)])


def read(path):
    with open(path, "rb") as file:
        return file.read(), 0o755 if os.access(path, os.X_OK) else 0o644


def main(out, name, entrypoint, *files):
    placed = [(inside.lstrip("/"), *read(path)) for inside, path in (file.split("=", 1) for file in files)]
    with open(out, "wb") as archive:
        archive.write(image(name, entrypoint, placed))


main(*sys.argv[1:])
