#!/bin/sh
# Train, evaluate and convert the shipped models again. To resume after a stop, run it again.
#
#     scripts/release/train_shipped.sh DATA OUT WEIGHTS
#
# DATA holds the folders named in scripts/release/data/*.toml. Runs are written to OUT and bundles to models/. WEIGHTS is
# mobilenet_v1_0.5_160_quant.tflite of github.com/google-coral/test_data (Apache-2.0), a MobileNetV1 of ImageNet: it is
# the encoder of all real models, and is not trained further. Needs the train extra; the heads are found in closed form, so that
# most of the hour on two cores is decoding and encoding, done once.
set -eu
[ $# -eq 3 ] || { echo "usage: scripts/release/train_shipped.sh DATA OUT WEIGHTS" >&2; exit 2; }
data=$(realpath "$1")
mkdir -p "$2/data"
out=$(realpath "$2")
weights=$(realpath "$3")
cd "$(dirname "$0")/../.."
# Every bundle names the commit that it was converted with.
[ -z "$(git status --porcelain --untracked-files=no)" ] || {
    echo "train_shipped: the checkout has uncommitted changes; commit or stash them" >&2
    exit 1
}
export TF_CPP_MIN_LOG_LEVEL=3
for name in fight interactions fall; do
    sed "s#\"DATA/#\"$data/#" "scripts/release/data/$name.toml" >"$out/data/$name.toml"
done
cp scripts/release/data/fall_events.csv "$out/data"

# learn NAME RUN OPTION...: the head of one model, on all data that its table names.
learn() {
    name=$1
    run=$2
    shift 2
    edgehar-train --dataset mixed --data "$out/data/$name.toml" --model mobile --motion-range 32 --no-augment \
        --solver closed-form --head float \
        --model-option "weights=$weights" alpha=0.5 blocks=13 taps=11+13 pool=mean+max head=statistics \
        --resume --out "$out/$run" "$@"
}
fight() {
    learn fight "$@" --size 76 --looks whole+crop --stabilize --steady-light --components 512 --ridge 3 \
        --parts mean+peak --slope 2
}
interactions() { learn interactions "$@" --size 80 --ridge 1; }
fall() {
    learn fall "$@" --size 76 --looks whole+crop --components 512 --ridge 3 --parts statistics --slope 4 --window-hop 3
}

# Accuracy on unseen cameras, sequences or rooms.
fight fight-5-fold --folds 5 --seeds 3 --int8 --val-fraction 0.02
interactions interactions-10-fold --folds 10 --seeds 3 --int8
fall fall-5-fold --folds 5 --seeds 3 --int8 --val-fraction 0.02
edgehar-train --dataset synthetic --input motion --seeds 3 --int8 --qat --resume --out "$out/synthetic"

# The shipped network learns from all groups but a few; int8 is compared with float on those.
fight fight --test-fraction 0 --val-fraction 0.04
interactions interactions --test-fraction 0 --val-fraction 0.1
fall fall --test-fraction 0 --val-fraction 0.1

# False alarms an hour of ordinary footage and the share of incidents found, by networks that have not seen the camera. The
# rules of decision are those of scripts/release/data/*.decision.toml; experiments with these folds chose them.
edgehar operate "$out/fight-5-fold" --label fight --background noFight --false-alarms-per-hour 6 \
    --decision scripts/release/data/fight.decision.toml \
    --ordinary "$data/cctv/ordinary" "$data/ut_interaction_set1_background" "$data/ucf101_sample" \
    --incident "$data/survfight/fight" "$data/cctv/fight" --out "$out/fight-alarms"
edgehar operate "$out/fall-5-fold" --label fall --background none --false-alarms-per-hour 6 --hop 3 \
    --decision scripts/release/data/fall.decision.toml \
    --ordinary "$data/cctv/ordinary" "$data/ut_interaction_set1_background" "$data/ucf101_sample" \
    --incident "$data/falls/fall" --out "$out/fall-alarms"
edgehar operate "$out/interactions-10-fold" --background none --false-alarms-per-hour 6 \
    --decision scripts/release/data/interactions.decision.toml \
    --ordinary "$data/cctv/ordinary" "$data/ut_interaction_set1_background" "$data/ucf101_sample" \
    --incident "$data/ut_interaction_set1" --out "$out/interactions-alarms"

edgehar-convert "$out/fight" --out models/fight.edgehar --evaluation "$out/fight-5-fold" \
    --notes scripts/release/cards/fight.md --background noFight --max-drop 5 --model-version 6 \
    --decision scripts/release/data/fight.decision.toml --alarms "$out/fight-alarms"
edgehar-convert "$out/interactions" --out models/interactions.edgehar --evaluation "$out/interactions-10-fold" \
    --notes scripts/release/cards/interactions.md --background none --max-drop 5 --model-version 2 \
    --decision scripts/release/data/interactions.decision.toml --alarms "$out/interactions-alarms"
edgehar-convert "$out/fall" --out models/fall.edgehar --evaluation "$out/fall-5-fold" \
    --notes scripts/release/cards/fall.md --background none --max-drop 5 --hop 3 --model-version 2 \
    --decision scripts/release/data/fall.decision.toml --alarms "$out/fall-alarms"
edgehar-convert "$out/synthetic/seed-0" --out models/actions-synthetic.edgehar --evaluation "$out/synthetic" \
    --notes scripts/release/cards/actions-synthetic.md
for name in fight interactions fall actions-synthetic; do
    edgehar inspect "models/$name.edgehar" --card >"models/$name.md"
done

# Accuracy of the fight detector on changed video.
edgehar eval "$out/fight-5-fold" --conditions --out "$out/fight-conditions"
