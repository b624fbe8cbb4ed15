#!/bin/sh
# Train, judge and convert the shipped models, exactly as they were; resumable: run it again after a stop.
#
#     scripts/train_shipped.sh DATA OUT WEIGHTS
#
# DATA holds survfight/ and ut_interaction_set1/; OUT takes the runs; the bundles go to models/. WEIGHTS is
# mobilenet_v1_0.5_160_quant.tflite of github.com/google-coral/test_data (Apache-2.0), a MobileNetV1 of ImageNet: its
# first blocks are the encoders of both real models, and stay as they are. Needs the train extra and takes hours on two
# cores. One thread in each of two processes is faster there than two threads in one.
set -eu
[ $# -eq 3 ] || { echo "usage: scripts/train_shipped.sh DATA OUT WEIGHTS" >&2; exit 2; }
data=$(realpath "$1")
out=$(realpath "$2")
weights=$(realpath "$3")
cd "$(dirname "$0")/.."
export TF_CPP_MIN_LOG_LEVEL=3

# train CLIPS RUN OPTION...: a run of the recipe of a set.
train() {
    clips=$1 run=$2
    shift 2
    case $clips in
        survfight) recipe="--windows-per-clip 2 --batch-size 32 --motion-range 32" ;;
        ut_interaction_set1)
            recipe="--dataset ut-interaction --windows-per-clip 3 --batch-size 16 --motion-range 64 --learning-rate 0.002"
            ;;
    esac
    # shellcheck disable=SC2086 # the recipe is words
    edgehar-train --data "$data/$clips" $recipe --model mobile --model-option "weights=$weights" alpha=0.5 blocks=10 \
        --size 88 --no-augment --epochs 30 --patience 0 --optimizer adamw --weight-decay 0.05 --schedule cosine \
        --label-smoothing 0.1 --resume --out "$out/$run" "$@"
}

# How good the networks are: cameras (or sequences) of the test part are unseen; three seeds, float and int8.
train survfight survfight --folds 5 --seeds 3 --jobs 2 --int8
train ut_interaction_set1 ut --folds 10 --seeds 3 --jobs 2 --int8

# Whether they look at what happens: frames in a random order, a single frame, and a single picture in colours. The
# crops of `point` have a shape of their own, which other ways to make them square hide better.
for set in survfight ut_interaction_set1; do
    case $set in survfight) name=survfight folds=5 ;; *) name=ut folds=10 ;; esac
    train "$set" $name-shuffled --folds $folds --seeds 3 --jobs 2 --frame-order shuffled
    train "$set" $name-single --folds $folds --seeds 3 --jobs 2 --frame-order single
    train "$set" $name-single-rgb --folds $folds --seeds 3 --jobs 2 --frame-order single --input rgb
done
for crop in center letterbox; do
    train ut_interaction_set1 ut-$crop --folds 10 --seeds 3 --jobs 2 --crop $crop
done

# What is shipped learns from all groups but those that say which epoch is kept.
train survfight fight --test-fraction 0 --int8
train ut_interaction_set1 interactions --test-fraction 0 --int8
edgehar-train --dataset synthetic --input motion --int8 --resume --out "$out/actions-synthetic"

# One of the validation clips is 2.6 points of the fight detector's 38, and 9.1 of the 11 interactions.
edgehar-convert "$out/fight" --out models/fight.edgehar --evaluation "$out/survfight" --head float \
    --notes scripts/cards/fight.md --background noFight --max-drop 2.7
edgehar-convert "$out/interactions" --out models/interactions.edgehar --evaluation "$out/ut" --head float \
    --notes scripts/cards/interactions.md --max-drop 9.1
edgehar-convert "$out/actions-synthetic" --out models/actions-synthetic.edgehar --notes scripts/cards/actions-synthetic.md
for name in fight interactions actions-synthetic; do
    edgehar inspect "models/$name.edgehar" --card >"models/$name.md"
done
