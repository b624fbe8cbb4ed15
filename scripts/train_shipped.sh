#!/bin/sh
# Train, judge and convert the shipped models, exactly as they were; resumable: run it again after a stop.
#
#     scripts/train_shipped.sh DATA OUT
#
# DATA holds survfight/ and ut_interaction_set1/; OUT takes the runs; the bundles go to models/. Needs the train extra
# and takes hours on two cores. One thread in each of two processes is faster there than two threads in one.
set -eu
data=$1
out=$2
cd "$(dirname "$0")/.."
export TF_CPP_MIN_LOG_LEVEL=3

# How good the network is: cameras (or sequences) of the test part are unseen, three seeds, both inputs, float and int8.
for input in motion rgb; do
    edgehar-train --data "$data/survfight" --input $input --folds 5 --seeds 3 --jobs 2 --int8 --resume \
        --out "$out/survfight-$input"
    edgehar-train --data "$data/ut_interaction_set1" --dataset ut-interaction --input $input --folds 10 --seeds 3 \
        --windows-per-clip 3 --jobs 2 --int8 --resume --out "$out/ut-$input"
done

# What is shipped. The fight detector learns from all cameras but those that say when to stop; of seeds 0, 1 and 2, the
# last had the least validation loss.
edgehar-train --data "$data/survfight" --input motion --test-fraction 0 --seed 2 --int8 --resume --out "$out/fight-lrcn"
edgehar-train --dataset synthetic --input motion --int8 --resume --out "$out/actions-synthetic"

# One of the validation clips is 2.6 points of the fight detector's 38.
edgehar-convert "$out/fight-lrcn" --out models/fight-lrcn.edgehar --evaluation "$out/survfight-motion" \
    --notes scripts/cards/fight-lrcn.md --background noFight --max-drop 2.7
edgehar-convert "$out/actions-synthetic" --out models/actions-synthetic.edgehar --notes scripts/cards/actions-synthetic.md
for name in fight-lrcn actions-synthetic; do
    edgehar inspect "models/$name.edgehar" --card >"models/$name.md"
done
