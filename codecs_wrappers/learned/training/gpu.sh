#!/usr/bin/env bash
# Training on a machine with a GPU that is available for minutes, sees only this tree, and returns a few small files.
# README.md explains the steps. Run from the repository's root.
#
#   here    gpu.sh pack MODEL,MODEL... TRAIN_FOLDER... -- VALIDATION_FOLDER...   makes .gpu/ and a sparse tree
#   there   gpu.sh unpack                    takes in the parts of .gpu/ that were copied
#   there   gpu.sh train MINUTES MODEL...    starts every model in the background
#   there   gpu.sh watch MINUTES MODEL...    waits at most so long, then puts the models' best averages into $OUT
#   here    gpu.sh join FOLDER MODEL...      reassembles the pieces from $OUT in results/training/
#   here    gpu.sh tidy                      the whole tree again, .gpu/ gone
set -euo pipefail

PART_MIB=${PART_MIB:-48}     # for transfers of 64 MiB, code included
PIECE_MIB=${PIECE_MIB:-15}   # for returned files of at most 16 MiB
ROOT=${GPU_ROOT:-/tmp/rdbench-gpu}  # on the GPU machine: data, results
PYTHON=${PYTHON:-python3}
MODELS=codecs_wrappers/learned/training/models
WHEELS="compressai==1.2.8 pytorch-msssim==1.0.0"

say() { echo "gpu.sh: $*" >&2; }

add() { # FILE PLACE: into the first part with room
    local size part=1
    size=$(stat -c %s "$1")
    while [ $((${used[$part]:-0} + size)) -gt $((PART_MIB << 20)) ] && [ -n "${used[$part]:-}" ]; do part=$((part + 1)); done
    used[$part]=$((${used[$part]:-0} + size))
    mkdir -p ".gpu/part$part/$2"
    cp "$1" ".gpu/part$part/$2/$(basename "$(dirname "$1")")-$(basename "$1")"
}

pack() {
    local names=${1//,/ } place=train folder name start
    declare -A used=()
    shift
    rm -rf .gpu && mkdir -p .gpu/wheels
    grep -qx '/.gpu/' .git/info/exclude || echo '/.gpu/' >>.git/info/exclude
    if [ -z "${NO_WHEELS:-}" ]; then
        # shellcheck disable=SC2086
        python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
            $(printf -- '--platform manylinux_2_%s_x86_64 ' 34 28 27 17) -d .gpu/wheels $WHEELS
    fi
    for name in $names; do
        [ -f "$MODELS/$name.yaml" ] || { say "no model is called $name"; exit 2; }
        for start in $(grep -o 'model:[^],"]*' "$MODELS/$name.yaml" | cut -d: -f2 | sort -u); do
            for file in "results/training/$start/$start.safetensors" "codecs_wrappers/learned/weights/$start.safetensors"; do
                [ ! -f "$file" ] || { mkdir -p .gpu/start && cp "$file" ".gpu/start/$start.safetensors"; break; }
            done
        done
    done
    for name in $names; do # averages of trunks go first
        for start in $(grep -o 'average:[^],"]*' "$MODELS/$name.yaml" | cut -d: -f2 | sort -u); do
            for file in "results/training/$start/best.safetensors" "codecs_wrappers/learned/weights/averages/$start.safetensors.xz"; do
                [ -f "$file" ] || continue
                mkdir -p .gpu/start
                case $file in
                    *.xz) $PYTHON -c 'import lzma, sys; sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())' "$file" ;;
                    *) cat "$file" ;;
                esac >".gpu/start/average-$start.safetensors"
                break
            done
        done
    done
    for file in .gpu/start/*; do [ ! -f "$file" ] || add "$file" start; done
    rm -rf .gpu/start
    for folder in "$@"; do
        [ "$folder" = -- ] && { place=validation; continue; }
        while read -r file; do add "$file" "$place"; done < <(find "$folder" -type f ! -name '.*' | sort)
    done
    git sparse-checkout set --no-cone '/*' '!/reports' '!/tests' '!/results' '!/codecs_wrappers/learned/weights/'
    say "sparse tree of $(git ls-files -t | grep '^[^S]' | cut -c3- | tr '\n' '\0' | du -cm --files0-from=- | tail -1 | cut -f1) MiB; carry, one call each:"
    for folder in .gpu/part*; do say "  .gpu/wheels $folder ($(du -sm "$folder" | cut -f1) MiB): bash codecs_wrappers/learned/training/gpu.sh unpack"; done
}

unpack() {
    local file name
    mkdir -p "$ROOT"/train "$ROOT"/validation "$ROOT"/out
    cp .gpu/part*/train/* "$ROOT/train" 2>/dev/null || true
    cp .gpu/part*/validation/* "$ROOT/validation" 2>/dev/null || true
    for file in .gpu/part*/start/*.safetensors; do
        [ -f "$file" ] || continue
        name=$(basename "$file" .safetensors) && name=${name#start-}
        if [ "$name" != "${name#average-}" ]; then
            mkdir -p codecs_wrappers/learned/weights/averages
            cp "$file" "codecs_wrappers/learned/weights/averages/${name#average-}.safetensors"
            continue
        fi
        mkdir -p "$ROOT/out/$name" && cp "$file" "$ROOT/out/$name/$name.safetensors"
    done
    if ls .gpu/wheels/*.whl >/dev/null 2>&1 && [ ! -d "$ROOT/site" ]; then
        $PYTHON -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$ROOT/site" .gpu/wheels/*.whl
    fi
    PYTHONPATH=$ROOT/site $PYTHON -c 'import compressai, torch; print(torch.__version__, torch.cuda.is_available())'
    say "$(find "$ROOT/train" -type f | wc -l) images to train on, $(find "$ROOT/validation" -type f | wc -l) to judge by"
}

trainer() { # MODEL, then more arguments
    PYTHONPATH=$ROOT/site PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE exec $PYTHON -m codecs_wrappers.learned.training "$1" \
        --data "$ROOT/train" --validation "$ROOT/validation" "${@:2}"
}

train() {
    local minutes=$1 name
    shift
    for name in "$@"; do
        mkdir -p "$ROOT/out"
        # shellcheck disable=SC2086
        (export -f trainer; export ROOT PYTHON
         setsid nohup bash -c 'trainer "$@"' trainer "$name" --minutes "$minutes" --out "$ROOT/out/$name" ${TRAIN_OPTIONS:-} \
            >"$ROOT/out/$name.log" 2>&1 </dev/null & echo $! >"$ROOT/out/$name.pid")
        say "$name started"
    done
}

running() { kill -0 "$(cat "$ROOT/out/$1.pid")" 2>/dev/null; }

watch() {
    local until name any
    until=$(($(date +%s) + ${1%.*} * 60))
    shift
    while :; do
        any=
        for name in "$@"; do
            ! running "$name" || any=1
            echo "$name: $(tail -n 1 "$ROOT/out/$name.log")"
        done
        [ -n "$any" ] && [ "$(date +%s)" -lt "$until" ] || break
        sleep "${EVERY_S:-30}"
    done
    for name in "$@"; do collect "$name"; done
    tar czf "$OUT/about.tar.gz" -C "$ROOT/give" .
}

collect() { # the export, of a running training that of its best average so far, in pieces
    local name=$1 from=$ROOT/out/$1 give=$ROOT/give/$1
    mkdir -p "$give"
    if running "$name"; then
        from=$ROOT/now/$name
        rm -rf "$from" && mkdir -p "$from" "$ROOT/now/"
        cp "$ROOT/out/$name/"{best.safetensors,checkpoint.pt,train.csv,validation.csv} "$from" 2>/dev/null ||
            { say "$name has no checkpoint yet"; return 0; }
        (trainer "$name" --minutes 0.0001 --out "$from" ${TRAIN_OPTIONS:-}) >>"$ROOT/out/$name.log" 2>&1 || return 0
    fi
    [ -f "$from/$name.yaml" ] || { say "$name has left no weights; its log ends:"; tail -n 5 "$ROOT/out/$name.log"; return 0; }
    cp "$from/$name.yaml" "$from/train.csv" "$from/validation.csv" "$ROOT/out/$name.log" "$give"
    split -b "${PIECE_MIB}M" -d "$from/$name.safetensors" "$OUT/$name.safetensors."
}

join() {
    local from=$1 name folder
    shift
    for name in "$@"; do
        folder=results/training/$name
        mkdir -p "$folder"
        cat "$from/$name.safetensors."* >"$folder/$name.safetensors"
        tar xzf "$from/about.tar.gz" -C results/training "./$name"
        grep -q "$(sha256sum "$folder/$name.safetensors" | cut -d' ' -f1)" "$folder/$name.yaml" ||
            { say "$name came back damaged: its hash is not that of $folder/$name.yaml"; exit 1; }
        say "$folder/$name.safetensors is whole: rdbench ship-weights $name"
    done
}

tidy() {
    git sparse-checkout disable
    rm -rf .gpu
}

case ${1:-} in
    pack | unpack | train | watch | join | tidy) "$@" ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
