#!/usr/bin/env bash
# Unpacks Debian's valkey-server into a directory and prints the path of the binary.
#
#     export VALKEY_SERVER=$(tests/stores/get_valkey.sh .venv/valkey)
#
# Needs apt with its lists, from any mirror; not root. Nothing is installed, and nothing started.
set -euo pipefail
target=${1:?the directory to unpack into}
binary=$target/valkey-server
if [ -x "$binary" ]; then
    realpath --no-symlinks "$binary"
    exit
fi

mkdir -p "$target/apt/lists/partial" "$target/apt/archives/partial"
target=$(cd "$target" && pwd)
binary=$target/valkey-server
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(
    apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite="$suite" '$1 == suite && $2 == "main" && !found++ { print $3 }'
)
[ -n "$mirror" ] || { echo "apt knows no mirror of $suite; run apt-get update" >&2; exit 1; }

# Bookworm has it in its backports, later releases in their own suite: ask both.
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keys" ] && options="[signed-by=$keys]"
for each in "$suite" "$suite-backports"; do
    echo "deb ${options:-} $mirror $each main"
done >"$target/apt/sources.list"
apt=(
    apt-get --quiet --quiet
    -o "Dir::Etc::SourceList=$target/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$target/apt/lists" -o "Dir::Cache=$target/apt"
    -o APT::Sandbox::User= -o Acquire::Languages=none
)
cd "$target/apt"
"${apt[@]}" update >&2
# The server's binary is in the package of the tools, liblzf is the one library that it brings.
"${apt[@]}" -t "$suite-backports" download valkey-tools liblzf1 >&2
for package in ./*.deb; do
    dpkg-deb --extract "$package" "$target/root"
done

# One binary is all of them; it goes by the name that it is called by.
ln -s valkey-check-rdb "$target/root/usr/bin/valkey-server"
cat >"$binary" <<END
#!/bin/sh
LD_LIBRARY_PATH=\$(echo '$target'/root/usr/lib/*/) exec '$target/root/usr/bin/valkey-server' "\$@"
END
chmod +x "$binary"
rm -rf "$target/apt"
echo "$binary"
