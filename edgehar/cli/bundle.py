"""`edgehar bundle`: extract the files of a model bundle, and add an encoder compiled for an Edge TPU."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE

if TYPE_CHECKING:
    from typing import Any

_EXAMPLES = """\
examples:
  edgehar bundle unpack fight fight/                 extracts encoder.tflite, head.tflite, manifest.json ...
  edgetpu_compiler -s -o fight fight/encoder.tflite  (on another machine; writes fight/encoder_edgetpu.tflite)
  edgehar bundle add-edgetpu fight fight/encoder_edgetpu.tflite --out fight-tpu.edgehar"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "bundle",
        help="extract the files of a model bundle, or add an encoder for an Edge TPU",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    unpack = actions.add_parser("unpack", help="extract the files of a bundle into a folder")
    unpack.add_argument("model", help="path of a bundle, or the name of a shipped model")
    unpack.add_argument("folder", type=Path, help="folder for the files; created if missing")
    unpack.set_defaults(run=_unpack)
    add = actions.add_parser("add-edgetpu", help="write a bundle with an additional encoder compiled for an Edge TPU")
    add.add_argument("model", help="path of a bundle, or the name of a shipped model")
    add.add_argument("encoder", type=Path, help="result of edgetpu_compiler for the encoder.tflite of this bundle")
    add.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new bundle, NAME.edgehar")
    add.set_defaults(run=_add_edge_tpu)


def _unpack(args: argparse.Namespace) -> int:
    from edgehar.files import whole_file
    from edgehar.model.bundle import ModelBundle, manifest_json

    bundle = ModelBundle.open(args.model)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"manifest.json": manifest_json(bundle.manifest), **bundle.files}.items():
        # Without folders, because a name with folders could point outside of the target.
        path = args.folder / Path(name).name
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
        print(f"{path} ({len(content):,} bytes)")
    return EXIT_DONE


def _add_edge_tpu(args: argparse.Namespace) -> int:
    from edgehar.errors import ConfigError
    from edgehar.inspect.edgetpu import check_compiled
    from edgehar.model.bundle import EDGE_TPU_FILE, SUFFIX, ModelBundle, write_bundle

    if args.out.suffix != SUFFIX:
        raise ConfigError(f"{args.out}: must end in {SUFFIX}; add it to the name")
    bundle = ModelBundle.open(args.model)
    compiled = args.encoder.read_bytes()
    check_compiled(compiled, bundle.read("encoder.tflite"), str(args.encoder))
    write_bundle(args.out, bundle.manifest, {**bundle.files, EDGE_TPU_FILE: compiled})
    print(f"{args.out} ({args.out.stat().st_size:,} bytes); use it with --delegate edgetpu or auto")
    return EXIT_DONE
