# Where things are; sourced by the scripts, run from the repository's root.
# What is fetched lives outside the tree, so that every clone on a machine shares it.
: "${HFWA_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/hfwa}"
case "$HFWA_CACHE" in /*) ;; *) HFWA_CACHE=$PWD/$HFWA_CACHE ;; esac
torch_version=2.11.0
if [ -e /dev/nvidiactl ]; then torch_set=cuda; else torch_set=cpu; fi
: "${HFWA_LIBTORCH:=$HFWA_CACHE/libtorch-$torch_version-$torch_set-r1}"
HFWA_VENV=$HFWA_CACHE/venv-$(sha256sum scripts/requirements.txt | cut -c1-12)
export HFWA_CACHE HFWA_LIBTORCH HFWA_VENV
