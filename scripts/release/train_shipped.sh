#!/bin/sh
# Train, judge and convert the shipped models, exactly as they were; resumable: run it again after a stop.
#
#     scripts/release/train_shipped.sh DATA OUT WEIGHTS
#
# DATA holds survfight/ and ut_interaction_set1/; OUT takes the runs; the bundles go to models/. WEIGHTS is
# mobilenet_v1_0.5_160_quant.tflite of github.com/google-coral/test_data (Apache-2.0), a MobileNetV1 of ImageNet: its
# first blocks are in the encoders of both real models, and stay as they are. Needs the train extra and takes hours on
# two cores. One thread in each of two processes is faster there than two threads in one.
set -eu
[ $# -eq 3 ] || { echo "usage: scripts/release/train_shipped.sh DATA OUT WEIGHTS" >&2; exit 2; }
data=$(realpath "$1")
out=$(realpath "$2")
weights=$(realpath "$3")
cd "$(dirname "$0")/../.."
# Every bundle names the commit that converted it.
[ -z "$(git status --porcelain --untracked-files=no)" ] || {
    echo "train_shipped: the checkout has uncommitted changes; commit or stash them" >&2
    exit 1
}
export TF_CPP_MIN_LOG_LEVEL=3

# fights_mobile RUN OPTION... and fights_lrcn RUN OPTION...: the two parts of the fight detector.
fights_mobile() {
    run=$1
    shift
    edgehar-train --data "$data/survfight" --model mobile --size 80 --motion-range 32 --no-augment \
        --model-option "weights=$weights" alpha=0.5 blocks=10 pool=mean+max units=48 --windows-per-clip 2 \
        --batch-size 32 --epochs 30 --patience 0 --optimizer adamw --weight-decay 0.05 --schedule cosine \
        --label-smoothing 0.1 --resume --out "$out/$run" "$@"
}
fights_lrcn() {
    run=$1
    shift
    edgehar-train --data "$data/survfight" --model lrcn --size 80 --motion-range 32 --model-option stride=2 \
        --resume --out "$out/$run" "$@"
}

# interactions RUN OPTION...: the head computes in float, which loses nothing.
interactions() {
    run=$1
    shift
    edgehar-train --data "$data/ut_interaction_set1" --dataset ut-interaction --model mobile --size 88 \
        --motion-range 64 --no-augment --model-option "weights=$weights" alpha=0.5 blocks=10 --windows-per-clip 3 \
        --batch-size 16 --epochs 30 --patience 0 --optimizer adamw --learning-rate 0.002 --weight-decay 0.05 \
        --schedule cosine --label-smoothing 0.1 --head float --resume --out "$out/$run" "$@"
}

# How good the networks are: cameras (or sequences) of the test part are unseen; three seeds; float, and the three
# ways to int8.
fights_mobile survfight-mobile --folds 5 --seeds 3 --jobs 2
fights_lrcn survfight-lrcn --folds 5 --seeds 3 --jobs 2
edgehar fuse "$out/survfight-mobile" "$out/survfight-lrcn" --out "$out/survfight" --head float --int8 --qat --resume
interactions ut --folds 10 --seeds 3 --jobs 2 --int8 --qat
edgehar-train --dataset synthetic --input motion --seeds 3 --int8 --qat --resume --out "$out/synthetic"

# Whether they look at what happens: frames in a random order, a single picture of motion, and one in colours. The crops
# of `point` have a shape of their own, which other ways to make them square hide better.
for control in shuffled single single-rgb; do
    case $control in
    shuffled) options="--frame-order shuffled" ;;
    single) options="--frame-order single" ;;
    single-rgb) options="--frame-order single --input rgb" ;;
    esac
    # shellcheck disable=SC2086 # words are meant
    fights_mobile "survfight-mobile-$control" --folds 5 --jobs 2 $options
    # shellcheck disable=SC2086
    fights_lrcn "survfight-lrcn-$control" --folds 5 --jobs 2 $options
    edgehar fuse "$out/survfight-mobile-$control" "$out/survfight-lrcn-$control" --out "$out/survfight-$control" --resume
    # shellcheck disable=SC2086
    interactions "ut-$control" --folds 10 --jobs 2 $options
done
for crop in center letterbox; do
    interactions ut-$crop --folds 10 --jobs 2 --crop $crop
done

# What is shipped learns from all groups but those that say which epoch is kept.
fights_mobile fight-mobile --test-fraction 0
fights_lrcn fight-lrcn --test-fraction 0
edgehar fuse "$out/fight-mobile" "$out/fight-lrcn" --out "$out/fight" --head float --int8 --qat --resume
interactions interactions --test-fraction 0 --int8 --qat

# One of the validation clips is 2.6 points of the fight detector's 38, and 9.1 of the 11 interactions.
edgehar-convert "$out/fight" --out models/fight.edgehar --evaluation "$out/survfight" \
    --notes scripts/release/cards/fight.md --background noFight --max-drop 2.7
edgehar-convert "$out/interactions" --out models/interactions.edgehar --evaluation "$out/ut" \
    --notes scripts/release/cards/interactions.md --max-drop 9.1
edgehar-convert "$out/synthetic/seed-0" --out models/actions-synthetic.edgehar --evaluation "$out/synthetic" \
    --notes scripts/release/cards/actions-synthetic.md
for name in fight interactions actions-synthetic; do
    edgehar inspect "models/$name.edgehar" --card >"models/$name.md"
done

# How the fight detector fares on changed video, and at what threshold.
edgehar eval "$out/survfight" --conditions --out "$out/survfight-conditions"
edgehar operate "$out/survfight" --background noFight --false-alarms-per-hour 100 --out "$out/survfight-operate"
