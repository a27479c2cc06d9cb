"""Read test accuracies off the weights of perceptrons that were trained on MNIST.

    python benchmarks/read_mlp.py
    python benchmarks/read_mlp.py --full --layers 3

Paper 002 (appendix E.5, table 19), smaller: zoos of 3- and 5-layer relu perceptrons on 7 x 7
images, since the parameters of nfn-hnp grow with the square of the number of inputs. Held out
are runs, never single checkpoints. Without ``--full`` runs are small and only show that
everything works. The zoos are cached in ``--cache``; tables go to ``--output``.
"""

from __future__ import annotations

from _reading import labelled_zoo, measure, reading_parser, summary

from skmeta.datasets import fetch_mnist
from skmeta.zoo import MLPSearchSpace

# Channels: where inputs have parameters of their own, few cost as much as many elsewhere.
METHODS = {
    "nfn-hnp": {"metanet": "nfn-hnp", "hidden_channels": 4},
    "nfn-hnp quasi": {"metanet": "nfn-hnp", "quasi": True, "hidden_channels": 4},
    "nfn-np": {"metanet": "nfn-np", "hidden_channels": 16},
    "nfn-pointwise": {"metanet": "nfn-pointwise", "hidden_channels": 16},
    "monomial": {"metanet": "monomial", "hidden_channels": 8},
    "neuron": {"metanet": "neuron", "hidden_channels": 32},
    "statistics": {"metanet": "statistics"},
}


def main() -> None:
    parser = reading_parser(__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", choices=(3, 5), default=(3, 5))
    args = parser.parse_args()
    images = fetch_mnist(data_home=args.data_home, size=7)
    n_runs, max_epochs = (1500, 20) if args.full else (40, 5)
    shared = {"loss": "bce", "max_epochs": max_epochs, "lr": 3e-3}
    settings = {name: {**shared, **params} for name, params in METHODS.items()}
    for n_layers in args.layers:
        space = MLPSearchSpace(
            n_hidden_layers=(n_layers - 1,),
            hidden_widths=(16, 20, 24),
            norms=("none",),
            n_skips=(0,),
            activations=("relu",),
            dropout=(0.0, 0.1, 0.2),
            learning_rate=(1e-4, 3e-2),
        )
        zoo, accuracy = labelled_zoo(
            images, n_runs, args.cache, search_space=space, n_checkpoints=4
        )
        name = f"read_mlp_{n_layers}_{n_runs}{'_validation' * args.validate}"
        frame = measure(zoo, accuracy, settings, args.output / f"{name}.csv", args)
        table = summary(frame)
        print(f"{n_layers} layers\n{table.to_string(float_format='%.3f')}", flush=True)
        table.to_csv(args.output / f"{name}_summary.csv")


if __name__ == "__main__":
    main()
