#!/bin/sh
# Train every network on both sets of real clips, split by group and, to show the leak, at random. To resume after a stop,
# run it again. `edgehar compare OUT/survfight-*-group` compares the results.
#
#     scripts/studies/compare_networks.sh DATA OUT [NETWORK...]
#
# DATA holds survfight/ and ut_interaction_set1/. Runs are written to OUT. Needs the train extra and hours on two cores.
set -eu
data=$1
out=$2
shift 2
[ $# -gt 0 ] || set -- lrcn compact attention_lrcn cnn_rnn convlstm
export TF_CPP_MIN_LOG_LEVEL=3

for network; do
    interactions=""
    case $network in
    # The last two take most of the time, so they get fewer epochs. cnn_rnn starts from random weights, because the
    # comparison uses no ImageNet weights.
    cnn_rnn)
        options="--model-option backbone=mobilenet_v3_small weights=none trainable=true --input rgb --size 64"
        options="$options --epochs 20 --patience 8"
        interactions="--epochs 12"
        ;;
    convlstm) options="--size 64 --epochs 25 --patience 8" interactions="--epochs 12" ;;
    compact) options="--size 64 --epochs 40" ;;
    attention_lrcn) options="--size 64" ;;
    *) options="" ;;
    esac
    for split in group random; do
        # shellcheck disable=SC2086 # splitting is intended
        edgehar-train --data "$data/survfight" --model "$network" $options --split $split --folds 5 --jobs 2 --resume \
            --out "$out/survfight-$network-$split"
        case $split in group) folds=10 ;; *) folds=5 ;; esac
        # shellcheck disable=SC2086
        edgehar-train --data "$data/ut_interaction_set1" --dataset ut-interaction --model "$network" $options \
            $interactions --split $split --folds $folds --windows-per-clip 3 --jobs 2 --resume \
            --out "$out/ut-$network-$split"
    done
done
