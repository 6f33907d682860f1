"""Curves of a training over its epochs, with the underlying table."""

import streamlit as st

from apps.dashboard import charts
from apps.dashboard.digits import sources


def show_curves(source: sources.Source) -> None:
    """Show the curves and the underlying table."""
    epochs = source.epochs
    if len(epochs) > 2 and charts.ask_close_up():
        epochs = epochs[1:]
    left, right = st.columns(2)
    with left:
        charts.show(charts.accuracy(epochs), "accuracy", "Accuracy of the three splits after each epoch")
    with right:
        charts.show(charts.loss(epochs), "loss", "Training and validation loss after each epoch")
    charts.show(charts.per_digit(epochs), "per_digit", "Test accuracy of each digit after each epoch")
    _show_weights(source)
    _show_table(source)


def _show_weights(source: sources.Source) -> None:
    numbers = [source.epochs[entry]["epoch"] for entry in source.whole]
    table = [sources.weight_statistics(source, entry) for entry in source.whole]
    tensors = [row["tensor"] for row in table[0]]
    changes = {name: [rows[i]["change"] for rows in table[1:]] for i, name in enumerate(tensors)}
    spreads = {name: [rows[i]["std"] for rows in table] for i, name in enumerate(tensors)}
    left, right = st.columns(2)
    with left:
        figure = charts.over_epochs(numbers[1:], changes, "Change of the weights in an epoch (L2)")
        charts.show(figure, "change", "L2 distance of each tensor from the epoch before")
    with right:
        figure = charts.over_epochs(numbers, spreads, "Spread of the weights (standard deviation)")
        charts.show(figure, "std", "Standard deviation of each tensor after each epoch")


def _show_table(source: sources.Source) -> None:
    st.header("Every epoch", anchor=False)
    rows = [
        {
            "Epoch": name,
            "Training loss": record["loss"],
            "Validation loss": record["val_loss"],
            **{label: 100 * record[f"{key}_accuracy"] for key, (label, _, _) in charts.SPLITS.items()},
        }
        for name, record in zip(source.names, source.epochs, strict=True)
    ]
    share = {label: charts.PERCENT for label, _, _ in charts.SPLITS.values()}
    loss = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        rows,
        hide_index=True,
        column_config={"Training loss": loss, "Validation loss": loss, **share},
        alt="Losses and accuracies of every epoch",
    )
